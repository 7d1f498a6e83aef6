// DepthToSpace and SpaceToDepth: blocks of positions for channels. Each is a Reshape, a Transpose
// and a Reshape; gradients are built as those.
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::Dimension;
using ir::GradientContext;
using ir::InferContext;
using ir::Type;
using ir::Value;

int64_t BlockOf(const ir::Node& node) {
  const int64_t block = node.GetInt("blocksize");
  if (block > 0) return block;
  throw Error(ErrorCode::kInvalidInput,
              "attribute 'blocksize' is " + std::to_string(block) + ", expected at least 1");
}

// Whether the channels are ordered [C, block, block] and not [block, block, C].
bool ChannelsFirst(const ir::Node& node) {
  const std::string& mode = node.GetString("mode");
  if (mode == "CRD") return true;
  if (mode == "DCR") return false;
  throw Error(ErrorCode::kInvalidInput, "attribute 'mode' is '" + mode + "', expected DCR or CRD");
}

// Moves elements between the deep [N, channels, H, W] and the wide [N, C, H b, W b] form.
void Move(const ir::ReferenceCall& call, bool to_depth) {
  const TensorView& wide = to_depth ? call.input(0) : call.output();
  const int64_t b = BlockOf(call.node);
  const int64_t channels = wide.dim(1), height = wide.dim(2) / b, width = wide.dim(3) / b;
  const bool first = ChannelsFirst(call.node);
  // The walk [N, C, H, b, W, b] is row-major over the wide form; strides of the deep one:
  const int64_t plane = height * width;
  const int64_t deep_c = first ? b * b * plane : plane;
  const int64_t deep_block = first ? plane : channels * plane;
  const std::vector<int64_t> dims = {wide.dim(0), channels, height, b, width, b};
  const std::vector<int64_t> strides = {channels * b * b * plane, deep_c, width,
                                        b * deep_block,           1,      deep_block};
  const size_t item = ItemSize(wide.dtype);
  if (wide.size() == 0) return;
  if (to_depth) {
    ScatterStrided(call.input(0).data, dims, call.output().data, 0, strides, item);
  } else {
    GatherStrided(call.input(0).data, 0, strides, dims, call.output().data, item);
  }
}

Dimension Times(const Dimension& dim, int64_t factor, bool divide) {
  if (!dim.is_static()) return {};
  if (!divide) return dim.value() * factor;
  if (dim.value() % factor == 0) return dim.value() / factor;
  throw Error(ErrorCode::kInvalidInput,
              "an extent of " + dim.ToString() + " does not divide by " + std::to_string(factor));
}

void Infer(InferContext& context, bool to_depth) {
  const Type& x = context.input(0);
  if (!x.has_rank()) {
    context.SetOutput(0, x);
    return;
  }
  if (x.rank() != 4) {
    throw Error(ErrorCode::kInvalidInput, "input is " + x.ToString() + ", expected [N, C, H, W]");
  }
  ChannelsFirst(context.node());
  const int64_t b = BlockOf(context.node());
  context.SetOutput(0, x.WithDims({x.dim(0), Times(x.dim(1), b * b, !to_depth),
                                   Times(x.dim(2), b, to_depth), Times(x.dim(3), b, to_depth)}));
}

ir::OpDefinition Rearrangement(std::string name, std::string inverse, std::string summary,
                               bool to_depth) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = 13;
  op.summary = std::move(summary);
  op.inputs = {Required("input")};
  op.outputs = {Required("output")};
  op.attributes = {RequiredAttribute("blocksize", ir::AttributeKind::kInt),
                   StringAttribute("mode", "DCR")};
  op.infer = [to_depth](InferContext& context) { Infer(context, to_depth); };
  op.reference = [to_depth](const ir::ReferenceCall& call) { Move(call, to_depth); };
  op.gradient = [inverse = std::move(inverse)](GradientContext& context) {
    if (!context.wants(0)) return;
    Builder& b = context.builder();
    Value* dx = b.Op(inverse, {context.output_gradient()}, context.node().attributes());
    context.SetInputGradient(0, b.ReshapeLike(dx, context.input(0)));
  };
  return op;
}

}  // namespace

void RegisterDepthSpace(ir::OpRegistry& registry) {
  const auto mode = [](const char* name) {
    return Attributes{{"blocksize", Attribute(int64_t{2})}, {"mode", Attribute(std::string(name))}};
  };
  const OpCase::Input deep = Floats({1, 8, 1, 1}, {1, 2, 3, 4, 5, 6, 7, 8});
  const OpCase::Input wide = Floats({1, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  ir::OpDefinition to_space = Rearrangement("DepthToSpace", "SpaceToDepth",
                                            "Channels spread over blocks of positions.", false);
  to_space.cases = {ExpectedCase("dcr", {deep}, {1, 3, 5, 7, 2, 4, 6, 8}, mode("DCR")),
                    ExpectedCase("crd", {deep}, {1, 2, 3, 4, 5, 6, 7, 8}, mode("CRD")),
                    ExpectedCase("wider", {Floats({1, 4, 1, 2}, {1, 2, 3, 4, 5, 6, 7, 8})},
                                 {1, 3, 2, 4, 5, 7, 6, 8}, mode("DCR"))};
  registry.Add(std::move(to_space));
  ir::OpDefinition to_depth = Rearrangement("SpaceToDepth", "DepthToSpace",
                                            "Blocks of positions stacked as channels.", true);
  to_depth.cases = {ExpectedCase("dcr", {wide}, {1, 5, 2, 6, 3, 7, 4, 8}, mode("DCR")),
                    ExpectedCase("crd", {wide}, {1, 2, 3, 4, 5, 6, 7, 8}, mode("CRD"))};
  registry.Add(std::move(to_depth));
}

}  // namespace ingot::ops
