// MatMul, Gemm and ingot.FusedMatMul of f32 matrices on the register-tiled products.
#include <map>

#include "backends/cpu/kernel_factories.h"
#include "backends/cpu/matmul.h"
#include "ingot/ir/op.h"

namespace ingot::cpu {
namespace {

struct Plan {
  MatMulArguments arguments;  // without pointers
  bool has_bias = false;
  int gradient_input = -1;
};

class MatMulKernel : public runtime::Kernel {
 public:
  MatMulKernel(Plan plan, size_t output) : plan_(plan), output_(output) {}

  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    MatMulArguments arguments = plan_.arguments;
    arguments.a = static_cast<const float*>(operands[0]);
    arguments.b = static_cast<const float*>(operands[1]);
    if (plan_.has_bias) arguments.bias = static_cast<const float*>(operands[2]);
    if (plan_.gradient_input >= 0) {
      arguments.gradient_of =
          static_cast<const float*>(operands[static_cast<size_t>(plan_.gradient_input)]);
    }
    arguments.c = static_cast<float*>(operands[output_]);
    arguments.scratch = reinterpret_cast<float*>(scratch);
    MatMul(arguments);
  }
  size_t scratch_bytes() const override {
    const MatMulArguments& a = plan_.arguments;
    return MatMulScratchFloats(a.n, a.k, a.b_transposed) * sizeof(float);
  }
  std::string name() const override { return "matmul_f32"; }

 private:
  Plan plan_;
  size_t output_;
};

bool IsMatrix(const ir::Value* value) {
  return value != nullptr && value->type().is_static() && value->type().dtype() == DType::kF32 &&
         value->type().rank() == 2;
}

bool FindEpilogue(const ir::Node& node, Epilogue& epilogue) {
  static const std::map<std::string, Epilogue::Kind, std::less<>> kinds = {
      {"none", Epilogue::Kind::kNone},       {"relu", Epilogue::Kind::kRelu},
      {"leaky_relu", Epilogue::Kind::kLeakyRelu}, {"elu", Epilogue::Kind::kElu},
      {"sigmoid", Epilogue::Kind::kSigmoid}, {"tanh", Epilogue::Kind::kTanh},
      {"gelu", Epilogue::Kind::kGelu},       {"gelu_tanh", Epilogue::Kind::kGeluTanh},
      {"relu_gradient", Epilogue::Kind::kReluGradient}};
  const auto entry = kinds.find(node.GetString("epilogue"));
  if (entry == kinds.end()) return false;
  epilogue.kind = entry->second;
  epilogue.alpha = static_cast<float>(node.GetFloat("alpha"));
  return true;
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

}  // namespace

KernelPointer MakeMatMulKernel(const ir::Node& node) {
  if (!IsMatrix(node.input(0)) || !IsMatrix(node.input(1))) return nullptr;
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
