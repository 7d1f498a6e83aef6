// The kinds of initializers and their formulas.
#include "ingot/nn/initializer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/base/text.h"
#include "ingot/tensor/philox.h"

namespace ingot::nn {

namespace {

struct Request {
  const Initializer& initializer;
  RandomKey key;
  Shape shape;
  double fan_in;
  double fan_out;
};

using Values = std::vector<double>;

Values Uniform(const Request& request, double low, double high) {
  Values values(static_cast<size_t>(request.shape.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = low + (high - low) * request.key.Uniform(i);
  }
  return values;
}

Values Normal(const Request& request, double mean, double deviation) {
  Values values(static_cast<size_t>(request.shape.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = mean + deviation * request.key.Normal(i);
  }
  return values;
}

Values Constant(const Request& request, double value) {
  return Values(static_cast<size_t>(request.shape.size()), value);
}

// Makes the rows of `m` [rows, columns], rows <= columns, orthonormal by Gram-Schmidt, done twice
// ("twice is enough", Giraud et al. 2005). The sign is that of a QR decomposition with a positive
// diagonal, which makes the distribution uniform over the orthogonal matrices.
void Orthonormalise(Values& m, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; ++r) {
    double* row = &m[r * columns];
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t q = 0; q < r; ++q) {
        const double* other = &m[q * columns];
        double dot = 0;
        for (size_t c = 0; c < columns; ++c) dot += row[c] * other[c];
        for (size_t c = 0; c < columns; ++c) row[c] -= dot * other[c];
      }
    }
    double squares = 0;
    for (size_t c = 0; c < columns; ++c) squares += row[c] * row[c];
    const double norm = std::sqrt(squares);
    for (size_t c = 0; c < columns; ++c) row[c] /= norm;
  }
}

Values Orthogonal(const Request& request) {
  if (request.shape.rank() < 2) {
    throw Error(
        ErrorCode::kInvalidInput,
        "orthogonal needs a matrix, but the parameter's shape is " + request.shape.ToString());
  }
  const auto columns = static_cast<size_t>(request.shape.dim(-1));
  const size_t rows = static_cast<size_t>(request.shape.size()) / std::max<size_t>(columns, 1);
  const size_t small = std::min(rows, columns);
  const size_t large = std::max(rows, columns);
  Values normal = Normal(request, 0, 1);
  Orthonormalise(normal, small, large);
  Values values(normal.size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      const size_t from = rows <= columns ? r * large + c : c * large + r;
      values[r * columns + c] = request.initializer.gain * normal[from];
    }
  }
  return values;
}

struct InitializerKind {
  std::string summary;
  std::function<Values(const Request&)> make;
  std::vector<std::string> options;  // members of Initializer that it reads
};

Values UniformOf(const Request& request, double limit) {
  return Uniform(request, -limit, limit);
}

const std::map<std::string, InitializerKind>& InitializerKinds() {
  static const std::map<std::string, InitializerKind> kinds = {
      {"glorot_uniform",
       {"U(-a, a), a = sqrt(6 / (fan_in + fan_out))",
        [](const Request& r) { return UniformOf(r, std::sqrt(6 / (r.fan_in + r.fan_out))); },
        {}}},
      {"glorot_normal",
       {"N(0, sqrt(2 / (fan_in + fan_out)))",
        [](const Request& r) { return Normal(r, 0, std::sqrt(2 / (r.fan_in + r.fan_out))); },
        {}}},
      {"he_uniform",
       {"U(-a, a), a = sqrt(6 / fan_in)",
        [](const Request& r) { return UniformOf(r, std::sqrt(6 / r.fan_in)); },
        {}}},
      {"he_normal",
       {"N(0, sqrt(2 / fan_in))",
        [](const Request& r) { return Normal(r, 0, std::sqrt(2 / r.fan_in)); },
        {}}},
      {"lecun_uniform",
       {"U(-a, a), a = sqrt(3 / fan_in)",
        [](const Request& r) { return UniformOf(r, std::sqrt(3 / r.fan_in)); },
        {}}},
      {"lecun_normal",
       {"N(0, sqrt(1 / fan_in))",
        [](const Request& r) { return Normal(r, 0, std::sqrt(1 / r.fan_in)); },
        {}}},
      {"torch_uniform",
       {"U(-a, a), a = 1 / sqrt(fan_in), as PyTorch's Linear",
        [](const Request& r) { return UniformOf(r, 1 / std::sqrt(r.fan_in)); },
        {}}},
      {"orthogonal", {"an orthogonal matrix times gain", Orthogonal, {"gain"}}},
      {"normal",
       {"N(mean, std)",
        [](const Request& r) { return Normal(r, r.initializer.mean, r.initializer.std); },
        {"mean", "std"}}},
      {"uniform",
       {"U(low, high)",
        [](const Request& r) { return Uniform(r, r.initializer.low, r.initializer.high); },
        {"low", "high"}}},
      {"constant",
       {"one value", [](const Request& r) { return Constant(r, r.initializer.value); }, {"value"}}},
      {"zeros", {"0", [](const Request& r) { return Constant(r, 0); }, {}}},
      {"ones", {"1", [](const Request& r) { return Constant(r, 1); }, {}}},
  };
  return kinds;
}

// The options that a kind has.
OptionTable<Initializer> TableOf(const std::string& name, const InitializerKind& kind) {
  OptionTable<Initializer> table(name, kind.summary);
  for (const std::string& option : kind.options) {
    if (option == "gain") table.Add("gain", &Initializer::gain, "factor of the matrix");
    if (option == "mean") table.Add("mean", &Initializer::mean, "mean");
    if (option == "std") {
      table.Add("std", &Initializer::std, "standard deviation", AtLeast(0)).Shorthand("std");
    }
    if (option == "low") table.Add("low", &Initializer::low, "lowest value");
    if (option == "high") table.Add("high", &Initializer::high, "highest value");
    if (option == "value") {
      table.Add("value", &Initializer::value, "the value").Shorthand("value");
    }
  }
  return table;
}

}  // namespace

Fans FansOf(const Shape& shape) {
  if (shape.rank() == 0) return {};
  if (shape.rank() == 1) return {shape[0], shape[0]};
  int64_t field = 1;
  for (int i = 0; i + 2 < shape.rank(); ++i) field *= shape[i];
  return {field * shape.dim(-2), field * shape.dim(-1)};
}

std::vector<std::string> InitializerNames() {
  std::vector<std::string> names;
  for (const auto& entry : InitializerKinds()) names.push_back(entry.first);
  return names;
}

Initializer ReadInitializer(const ConfigNode& node) {
  const NamedNode named = ReadNamed(node, "an initializer");
  const auto kind = InitializerKinds().find(named.name);
  if (kind == InitializerKinds().end())
    FailUnknownName(node, "initializer", named.name, InitializerNames());
  Initializer initializer = TableOf(kind->first, kind->second).Read(named.options);
  initializer.kind = named.name;
  return initializer;
}

ConfigNode WriteInitializer(const Initializer& initializer) {
  const auto kind = InitializerKinds().find(initializer.kind);
  if (kind == InitializerKinds().end() || kind->second.options.empty()) {
    return ConfigNode::Scalar(initializer.kind);
  }
  return ConfigNode::Map({{kind->first, TableOf(kind->first, kind->second).Write(initializer)}});
}

std::vector<OptionHelp> InitializerHelp() {
  std::vector<OptionHelp> rows;
  for (const auto& entry : InitializerKinds()) {
    rows.push_back({entry.first, "initializer", "", entry.second.summary});
    for (OptionHelp& row : TableOf(entry.first, entry.second).Help(entry.first)) {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

Tensor Initialize(const Initializer& initializer, const std::string& name, const Shape& shape,
                  Fans fans, DType dtype, uint64_t seed) {
  if (initializer.given != nullptr) return initializer.given->Cast(dtype);
  const auto kind = InitializerKinds().find(initializer.kind);
  if (kind == InitializerKinds().end()) {
    throw Error(ErrorCode::kInvalidInput, "unknown initializer '" + initializer.kind + "'",
                DidYouMean(initializer.kind, InitializerNames()));
  }
  const Request request{initializer, RandomKey(seed, "init/" + name), shape,
                        static_cast<double>(std::max<int64_t>(fans.in, 1)),
                        static_cast<double>(std::max<int64_t>(fans.out, 1))};
  const Values values = kind->second.make(request);
  return Tensor::Of<double>(shape, std::span<const double>(values)).Cast(dtype);
}

}  // namespace ingot::nn
