// MatMul, Gemm and ingot.FusedMatMul of f32 on the register-tiled products: small ones in place,
// large ones blocked. A MatMul of more than two axes is one product for each of the leading
// indices, or one product of all rows where the right side is a matrix.
#include <algorithm>

#include "backends/cpu/blocked_matmul.h"
#include "backends/cpu/epilogue_names.h"
#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/matmul.h"
#include "backends/cpu/swapped_matmul.h"
#include "ingot/ir/op.h"

namespace ingot::cpu {
namespace {

struct Plan {
  MatMulArguments arguments;  // without pointers
  bool has_bias = false;
  int gradient_input = -1;
  // Where each of the products reads, in elements; the results are dense, one after the other.
  std::vector<size_t> a_offsets = {0};
  std::vector<size_t> b_offsets = {0};
};

class MatMulKernel : public runtime::Kernel {
 public:
  MatMulKernel(Plan plan, size_t output)
      : plan_(std::move(plan)),
        output_(output),
        blocked_(IsBlockedProduct(plan_.arguments.m, plan_.arguments.n, plan_.arguments.k,
                                  plan_.arguments.b_transposed)),
        swapped_(plan_.arguments.b_transposed && plan_.arguments.a_column_stride == 1 &&
                 IsSwappedProduct(plan_.arguments.m, plan_.arguments.n, plan_.arguments.k)) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    MatMulArguments arguments = plan_.arguments;
    const auto* a = static_cast<const float*>(operands[0]);
    const auto* b = static_cast<const float*>(operands[1]);
    auto* c = static_cast<float*>(operands[output_]);
    if (plan_.has_bias) arguments.bias = static_cast<const float*>(operands[2]);
    if (plan_.gradient_input >= 0) {
      arguments.gradient_of =
          static_cast<const float*>(operands[static_cast<size_t>(plan_.gradient_input)]);
    }
    arguments.scratch = reinterpret_cast<float*>(scratch);
    for (size_t i = 0; i < plan_.a_offsets.size(); ++i) {
      arguments.a = a + plan_.a_offsets[i];
      arguments.b = b + plan_.b_offsets[i];
      arguments.c = c + i * arguments.m * arguments.n;
      // All give the same bits: what is skipped is zero. MatMul skips none where b is transposed.
      if (swapped_) {
        SwappedMatMul(arguments);
      } else if (blocked_ && (arguments.b_transposed || !HasManyZeroColumns(arguments))) {
        BlockedMatMul(arguments);
      } else {
        MatMul(arguments);
      }
    }
  }
  size_t scratch_bytes() const override {
    const MatMulArguments& a = plan_.arguments;
    size_t floats = MatMulScratchFloats(a.n, a.k, a.b_transposed);
    if (swapped_) return SwappedMatMulScratchFloats(a.m, a.k) * sizeof(float);
    if (blocked_) floats = std::max(floats, BlockedMatMulScratchFloats(a.m, a.n, a.k));
    return floats * sizeof(float);
  }
  std::string name() const override {
    if (swapped_) return "swapped_matmul_f32";
    return blocked_ ? "blocked_matmul_f32" : "matmul_f32";
  }

 private:
  Plan plan_;
  size_t output_;
  bool blocked_;
  bool swapped_;
};

bool IsStaticF32(const ir::Value* value) {
  return value != nullptr && value->type().is_static() && value->type().dtype() == DType::kF32 &&
         value->type().rank() >= 2;
}

bool IsMatrix(const ir::Value* value) {
  return IsStaticF32(value) && value->type().rank() == 2;
}

// Elements between neighbours of each leading axis of `shape`, aligned to `axes` of them on the
// right; 0 where the axis is absent or has one element.
std::vector<size_t> LeadingStrides(const Shape& shape, size_t axes) {
  std::vector<size_t> strides(axes, 0);
  const auto own = static_cast<size_t>(shape.rank() - 2);
  auto stride = static_cast<size_t>(shape[shape.rank() - 1] * shape[shape.rank() - 2]);
  for (size_t i = own; i-- > 0;) {
    const auto extent = static_cast<size_t>(shape[static_cast<int>(i)]);
    if (extent > 1) strides[axes - own + i] = stride;
    stride *= extent;
  }
  return strides;
}

// A product for each index of the leading axes of `c`.
void PlanBatch(const Shape& a, const Shape& b, const Shape& c, Plan& plan) {
  const auto axes = static_cast<size_t>(c.rank() - 2);
  const std::vector<size_t> a_strides = LeadingStrides(a, axes);
  const std::vector<size_t> b_strides = LeadingStrides(b, axes);
  for (size_t axis = 0; axis < axes; ++axis) {
    std::vector<size_t> a_next, b_next;
    for (size_t i = 0; i < plan.a_offsets.size(); ++i) {
      for (size_t j = 0; j < static_cast<size_t>(c[static_cast<int>(axis)]); ++j) {
        a_next.push_back(plan.a_offsets[i] + j * a_strides[axis]);
        b_next.push_back(plan.b_offsets[i] + j * b_strides[axis]);
      }
    }
    plan.a_offsets = std::move(a_next);
    plan.b_offsets = std::move(b_next);
  }
}

// Whether the third input is a bias [n] or [1, n], or absent.
bool PlanBias(const ir::Node& node, int64_t n, Plan& plan) {
  const ir::Value* bias = node.input(2);
  if (bias == nullptr) return true;
  const ir::Type& type = bias->type();
  if (!type.is_static() || type.dtype() != DType::kF32) return false;
  const Shape shape = type.shape();
  if (shape.size() != n || shape.rank() < 1 || shape[shape.rank() - 1] != n) return false;
  plan.has_bias = true;
  return true;
}

// MatMul with more than two axes on a side.
KernelPointer MakeBatchedKernel(const ir::Node& node) {
  if (!IsStaticF32(node.input(0)) || !IsStaticF32(node.input(1))) return nullptr;
  const Shape a = node.input(0)->type().shape();
  const Shape b = node.input(1)->type().shape();
  Plan plan;
  MatMulArguments& arguments = plan.arguments;
  arguments.m = static_cast<size_t>(a[a.rank() - 2]);
  arguments.k = static_cast<size_t>(a[a.rank() - 1]);
  arguments.n = static_cast<size_t>(b[b.rank() - 1]);
  if (b.rank() == 2) {
    for (int axis = 0; axis + 2 < a.rank(); ++axis) arguments.m *= static_cast<size_t>(a[axis]);
  } else {
    PlanBatch(a, b, node.output()->type().shape(), plan);
  }
  arguments.a_row_stride = arguments.k;
  arguments.b_stride = arguments.n;
  arguments.c_stride = arguments.n;
  if (node.op_type() == "FusedMatMul") {
    if (node.GetInt("trans_a") != 0 || node.GetInt("trans_b") != 0) return nullptr;
    if (!FindEpilogue(node, arguments.epilogue) ||
        arguments.epilogue.kind == Epilogue::Kind::kReluGradient ||
        !PlanBias(node, static_cast<int64_t>(arguments.n), plan)) {
      return nullptr;
    }
  } else if (node.op_type() != "MatMul") {
    return nullptr;
  }
  return std::make_shared<MatMulKernel>(std::move(plan), node.inputs().size());
}

}  // namespace

KernelPointer MakeMatMulKernel(const ir::Node& node) {
  if (!IsMatrix(node.input(0)) || !IsMatrix(node.input(1))) return MakeBatchedKernel(node);
  bool trans_a = false;
  bool trans_b = false;
  Plan plan;
  if (node.op_type() == "Gemm") {
    if (node.GetFloat("alpha") != 1 || node.GetFloat("beta") != 1) return nullptr;
    trans_a = node.GetInt("transA") != 0;
    trans_b = node.GetInt("transB") != 0;
  } else if (node.op_type() == "FusedMatMul") {
    trans_a = node.GetInt("trans_a") != 0;
    trans_b = node.GetInt("trans_b") != 0;
    if (!FindEpilogue(node, plan.arguments.epilogue)) return nullptr;
    if (plan.arguments.epilogue.kind == Epilogue::Kind::kReluGradient) plan.gradient_input = 3;
  }
  const Shape a = node.input(0)->type().shape();
  const Shape b = node.input(1)->type().shape();
  MatMulArguments& arguments = plan.arguments;
  arguments.m = static_cast<size_t>(a[trans_a ? 1 : 0]);
  arguments.k = static_cast<size_t>(a[trans_a ? 0 : 1]);
  arguments.n = static_cast<size_t>(b[trans_b ? 0 : 1]);
  const size_t a_stride = static_cast<size_t>(a[1]);
  arguments.a_row_stride = trans_a ? 1 : a_stride;
  arguments.a_column_stride = trans_a ? a_stride : 1;
  arguments.b_stride = static_cast<size_t>(b[1]);
  arguments.b_transposed = trans_b;
  arguments.c_stride = arguments.n;
  if (!PlanBias(node, static_cast<int64_t>(arguments.n), plan)) return nullptr;
  return std::make_shared<MatMulKernel>(plan, node.inputs().size());
}

}  // namespace ingot::cpu
