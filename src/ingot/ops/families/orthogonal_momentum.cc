// ingot.OrthogonalMomentum: the direction of Muon (Jordan et al. 2024): momentum of a matrix, made
// nearly orthogonal by five steps of a quintic Newton-Schulz iteration.
//
//   b' = b + (1 - momentum) (g - b)
//   x = g + momentum (b' - g), or b' without `nesterov`
//   x /= |x| + 1e-7; five times: a = x x^T; x = 3.4445 x + (-4.775 a + 2.0315 a a) x
//   d = 0.2 sqrt(max(rows, columns)) x
//
// with x turned so that it has no more rows than columns. The scale makes steps as large as Adam's
// (Liu et al. 2025, "Muon is scalable for LLM training"). A tensor of more than two dimensions is a
// matrix of its first extent and all others.
#include "ingot/ops/orthogonal_momentum.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ingot/base/error.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/doubles.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterOrthogonalMomentum(ir::OpRegistry& registry);

namespace {

using Matrix = std::vector<double>;

// c [m, n] = a [m, k] b, with b [k, n], or [n, k] where it is transposed.
Matrix MatrixProduct(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k,
                     bool transposed) {
  Matrix c(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum += a[static_cast<size_t>(i * k + l)] *
               b[static_cast<size_t>(transposed ? j * k + l : l * n + j)];
      }
      c[static_cast<size_t>(i * n + j)] = sum;
    }
  }
  return c;
}

Matrix Turned(const Matrix& x, int64_t rows, int64_t columns) {
  Matrix y(x.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      y[static_cast<size_t>(j * rows + i)] = x[static_cast<size_t>(i * columns + j)];
    }
  }
  return y;
}

Matrix NearlyOrthogonal(Matrix x, int64_t rows, int64_t columns) {
  const bool tall = rows > columns;
  if (tall) x = Turned(x, rows, columns);
  const int64_t m = std::min(rows, columns);
  const int64_t n = std::max(rows, columns);
  double sum = 0;
  for (const double value : x) sum += value * value;
  for (double& value : x) value /= std::sqrt(sum) + kNewtonSchulzEpsilon;
  for (int iteration = 0; iteration < kNewtonSchulzSteps; ++iteration) {
    const Matrix a = MatrixProduct(x, x, m, m, n, true);
    Matrix b = MatrixProduct(a, a, m, m, m, false);
    for (size_t i = 0; i < b.size(); ++i) b[i] = kNewtonSchulzB * a[i] + kNewtonSchulzC * b[i];
    const Matrix bx = MatrixProduct(b, x, m, n, m, false);
    for (size_t i = 0; i < x.size(); ++i) x[i] = kNewtonSchulzA * x[i] + bx[i];
  }
  return tall ? Turned(x, columns, rows) : x;
}

void RunOrthogonalMomentum(const ir::ReferenceCall& call) {
  const double momentum = call.node.GetFloat("momentum");
  const bool nesterov = call.node.GetInt("nesterov") != 0;
  const MatrixSize size = MatrixSizeOf(call.input(0).dims);
  const auto count = static_cast<size_t>(size.rows * size.columns);
  const Matrix g = ReadDoubles(call.input(0));
  Matrix b = ReadDoubles(call.input(1)), x(count);
  for (size_t i = 0; i < count; ++i) {
    b[i] += (1 - momentum) * (g[i] - b[i]);
    x[i] = nesterov ? g[i] + momentum * (b[i] - g[i]) : b[i];
  }
  x = NearlyOrthogonal(std::move(x), size.rows, size.columns);
  for (double& value : x) value *= MuonScale(size);
  WriteDoubles(x, call.output(0));
  WriteDoubles(b, call.output(1));
}

}  // namespace

void RegisterOrthogonalMomentum(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "OrthogonalMomentum";
  op.domain = "ingot";
  op.summary = "Muon's direction for a matrix from its gradient, and the new momentum.";
  op.inputs = {Required("g"), Required("momentum")};
  op.outputs = {Required("d"), Required("momentum_next")};
  op.attributes = {FloatAttribute("momentum", 0.95), IntAttribute("nesterov", 1)};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    RequireType(context, 1, Types::kFloat);
    const ir::Type& type = context.input(0);
    if (type.has_rank() && type.rank() < 2) {
      throw Error(ErrorCode::kInvalidInput,
                  "input 0 (g) is " + type.ToString() + ", expected a matrix");
    }
    context.SetOutput(0, type);
    context.SetOutput(1, type);
  };
  op.reference = RunOrthogonalMomentum;
  // Of one number only the sign is left: x = s / (1 + 1e-7), whose five steps are computed here.
  double x = 1 / (1 + kNewtonSchulzEpsilon);
  for (int i = 0; i < kNewtonSchulzSteps; ++i) {
    x = kNewtonSchulzA * x + kNewtonSchulzB * std::pow(x, 3) + kNewtonSchulzC * std::pow(x, 5);
  }
  OpCase one;
  one.name = "one_number";
  one.inputs = {Floats({1, 1}, {-1}), Floats({1, 1}, {0})};
  one.attributes = {{"momentum", 0.0}};
  one.expected = {{-0.2 * x}, {-1}};
  one.outputs = 2;
  one.gradient = false;
  op.cases = {one};
  for (const Shape& shape : {Shape{4, 9}, Shape{17, 5}, Shape{8, 8}, Shape{6, 3, 2, 2}}) {
    OpCase random;
    random.name = "random_" + std::to_string(shape[0]);
    random.inputs = {Uniform(shape), Uniform(shape)};
    random.outputs = 2;
    random.gradient = false;
    // The iteration makes small singular values grow by up to 3.4 in each step, and the rounding
    // of f32 with them.
    random.tolerance = 1e-3;
    op.cases.push_back(std::move(random));
  }
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
