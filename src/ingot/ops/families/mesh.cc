// Ops of a step whose model is spread over the places of a mesh: where values meet that several
// processes compute. A graph holds what one place computes, so the reference of each is that of a
// mesh of one place: nothing is added, and what comes is what went.
//
//   Y = ingot.MeshSum(X)    the sum of X over the places along `axis`, known to all of them
//   Y = ingot.MeshShare(X)  X, whose gradient is summed over the places along `axis`
//   Y = ingot.MeshPass(X)   X goes to the place beside this one, and Y comes from there
//
// MeshSum behind a product whose factor is cut by rows, and MeshShare before one that is cut by
// columns, are g and f of Shoeybi et al. 2019.
#include <cstring>

#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterMesh(ir::OpRegistry& registry);

namespace {

using ir::InferContext;
using ir::OpDefinition;

OpDefinition MeshOp(const char* name, const char* summary) {
  OpDefinition op;
  op.name = name;
  op.domain = "ingot";
  op.summary = summary;
  op.inputs = {Required("X")};
  op.outputs = {Required("Y")};
  op.infer = [](InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const TensorView& x = call.input(0);
    const auto bytes = static_cast<size_t>(x.size()) * ItemSize(x.dtype);
    if (bytes > 0) std::memcpy(call.output().data, x.data, bytes);
  };
  op.never_merged = true;
  op.cases = {OpCase{.name = "one_place", .inputs = {Floats({2}, {3, -4})}, .expected = {{3, -4}}}};
  return op;
}

OpDefinition MeshSum() {
  OpDefinition op = MeshOp("MeshSum",
                           "The sum of X over the places of the mesh along an axis, known to all "
                           "of them; X itself where there is one.");
  op.attributes = {StringAttribute("axis", "tensor")};
  // Every place goes on with the sum, and all of them compute the same gradient.
  op.gradient = [](ir::GradientContext& context) {
    context.SetInputGradient(0, context.output_gradient(0));
  };
  return op;
}

OpDefinition MeshShare() {
  OpDefinition op = MeshOp("MeshShare",
                           "X, of which each place of the mesh along an axis uses its part: its "
                           "gradient is the sum of theirs.");
  op.attributes = {StringAttribute("axis", "tensor")};
  op.gradient = [](ir::GradientContext& context) {
    context.SetInputGradient(0, context.builder().Op("ingot.MeshSum", {context.output_gradient(0)},
                                                     {{"axis", context.node().GetString("axis")}}));
  };
  return op;
}

OpDefinition MeshPass() {
  OpDefinition op = MeshOp("MeshPass",
                           "Rows go to, or come from, the stages of a pipeline beside this one. "
                           "leg 0: Y comes from the stage before; 1: X goes to the next, and Y, "
                           "the gradient of X, comes back; 2: X goes to the stage before.");
  op.attributes = {RequiredAttribute("leg", ir::AttributeKind::kInt)};
  op.cases[0].attributes = {{"leg", int64_t{1}}};
  op.cases[0].gradient = false;
  return op;
}

}  // namespace

void RegisterMesh(ir::OpRegistry& registry) {
  registry.Add(MeshSum());
  registry.Add(MeshShare());
  registry.Add(MeshPass());
}

}  // namespace ingot::ops
