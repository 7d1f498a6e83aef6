// branch: several lists of layers over one input, whose outputs are joined.
#include "ingot/base/error.h"
#include "ingot/nn/layers/composite.h"
#include "ingot/nn/layers/layers.h"

namespace ingot::nn {

namespace {

struct BranchOptions {
  ConfigNode branches;
  std::string join = "concat";
  int64_t axis = 1;
  std::string activation = "none";
};

const OptionTable<BranchOptions>& BranchTable() {
  static const auto table =
      OptionTable<BranchOptions>("branch", "several lists of layers over one input, joined")
          .AddNode("branches", &BranchOptions::branches,
                   "list of lists of layers; an empty one gives the input itself")
          .AddChoice("join", &BranchOptions::join, "what becomes of their outputs",
                     {"concat", "add", "multiply"})
          .Add("axis", &BranchOptions::axis,
               "of concat: 1 for the channels of pictures, -1 for the last; not 0")
          .AddChoice("activation", &BranchOptions::activation, "applied to the result",
                     ActivationNames())
          .Shorthand("branches")
          .Required("branches");
  return table;
}

[[noreturn]] void FailShapes(const std::string& join, const std::vector<ir::Value*>& outputs,
                             size_t at) {
  throw Error(ErrorCode::kInvalidInput,
              "branch 0 gives " + outputs[0]->type().ToString() + ", but branch " +
                  std::to_string(at) + " gives " + outputs[at]->type().ToString(),
              join == "concat" ? "they may differ along `axis` alone"
                               : "to " + join + ", their shapes must be the same");
}

ir::Value* Concat(ir::Builder& builder, const std::vector<ir::Value*>& outputs, int64_t axis) {
  const int rank = outputs[0]->type().rank();
  const int64_t at = axis < 0 ? axis + rank : axis;
  if (at < 1 || at >= rank) {
    throw Error(
        ErrorCode::kInvalidInput,
        "concat along axis " + std::to_string(axis) + " of " + outputs[0]->type().ToString(),
        "the axis counts from 0, which is the batch and cannot be it");
  }
  for (size_t i = 1; i < outputs.size(); ++i) {
    const ir::Type& type = outputs[i]->type();
    bool fits = type.rank() == rank && type.dtype() == outputs[0]->type().dtype();
    for (int d = 0; fits && d < rank; ++d) {
      fits = d == at || type.dim(d) == outputs[0]->type().dim(d);
    }
    if (!fits) FailShapes("concat", outputs, i);
  }
  return builder.Op("Concat", outputs, {{"axis", at}});
}

ir::Value* JoinBranches(ir::Builder& builder, const BranchOptions& options,
                        const std::vector<ir::Value*>& outputs) {
  if (options.join == "concat") return Concat(builder, outputs, options.axis);
  ir::Value* y = outputs[0];
  for (size_t i = 1; i < outputs.size(); ++i) {
    if (!(outputs[i]->type() == outputs[0]->type())) FailShapes(options.join, outputs, i);
    y = options.join == "add" ? builder.Add(y, outputs[i]) : builder.Mul(y, outputs[i]);
  }
  return y;
}

Layer MakeBranch(BranchOptions options, const LayerReader& reader) {
  if (!options.branches.is_list() || options.branches.items().empty()) {
    options.branches.Fail("expected a list of lists of layers, got " + options.branches.Describe());
  }
  std::vector<std::vector<Layer>> branches;
  std::vector<ConfigNode> resolved;
  for (const ConfigNode& item : options.branches.items()) {
    branches.push_back(reader.ReadList(item));
    resolved.push_back(ResolvedLayers(branches.back()));
  }
  options.branches = ConfigNode::List(std::move(resolved));
  Layer layer;
  layer.description = "branch " + options.join;
  layer.resolved = ConfigNode::Map({{"branch", BranchTable().Write(options)}});
  layer.build = [branches, options](LayerContext& context, ir::Value* x) {
    std::vector<ir::Value*> outputs;
    for (size_t i = 0; i < branches.size(); ++i) {
      outputs.push_back(context.Build(branches[i], std::to_string(i), x));
    }
    ir::Value* y = JoinBranches(context.builder(), options, outputs);
    return ApplyActivation(context.builder(), options.activation, y);
  };
  return layer;
}

}  // namespace

LayerKind BranchLayer() {
  return DefineComposite<BranchOptions>(BranchTable(), MakeBranch);
}

}  // namespace ingot::nn
