// Rewrites ConvTranspose as the gradient of a convolution's input.
#include "ingot/passes/lower_conv_transpose.h"

#include <vector>

#include "ingot/passes/rewrite.h"

namespace ingot::passes {
namespace {

using ir::Node;
using ir::Value;
using Ints = std::vector<int64_t>;

Ints IntsOf(const Node& node, const char* name, size_t count, int64_t otherwise) {
  const Ints* given = node.FindInts(name);
  return given == nullptr ? Ints(count, otherwise) : *given;
}

// The convolution that goes from Y to X; false where there is none.
bool ConvolutionBack(const Node& node, ir::Attributes& attributes) {
  const ir::Type& x = node.input(0)->type();
  const ir::Type& w = node.input(1)->type();
  const ir::Type& y = node.output()->type();
  if (!x.is_static() || !w.is_static() || !y.is_static() || y.shape().size() == 0) return false;
  const auto axes = static_cast<size_t>(x.rank() - 2);
  const Ints strides = IntsOf(node, "strides", axes, 1);
  const Ints dilations = IntsOf(node, "dilations", axes, 1);
  // Where other padding than `pads` goes, the shape rule alone knows.
  if (node.GetString("auto_pad") != "NOTSET" || node.HasAttribute("output_shape")) return false;
  const Ints as_given = IntsOf(node, "pads", 2 * axes, 0);
  Ints pads(2 * axes), spatial(axes);
  for (size_t i = 0; i < axes; ++i) {
    const int64_t extent = x.shape()[static_cast<int>(i) + 2];
    const int64_t span = (w.shape()[static_cast<int>(i) + 2] - 1) * dilations[i] + 1;
    spatial[i] = y.shape()[static_cast<int>(i) + 2];
    pads[i] = as_given[i];
    pads[axes + i] = as_given[axes + i];
    const int64_t room = spatial[i] + pads[i] + pads[axes + i] - span;
    if (pads[i] < 0 || pads[axes + i] < 0 || room < 0) return false;
    if (room / strides[i] + 1 != extent) return false;
  }
  attributes = {{"group", node.GetInt("group")},
                {"pads", pads},
                {"strides", strides},
                {"dilations", dilations},
                {"spatial_shape", spatial}};
  return true;
}

bool Lower(Node* node, const ir::OpRegistry& registry) {
  ir::Attributes attributes;
  if (!Is(node, "ConvTranspose") || !ConvolutionBack(*node, attributes)) return false;
  ir::Builder builder = BuilderBefore(node, registry);
  Value* y = builder.Op("ingot.ConvInputGradient", {node->input(0), node->input(1)},
                        std::move(attributes));
  y->producer()->set_name(node->name());
  const size_t inputs = node->inputs().size();
  if (inputs > 2 && node->input(2) != nullptr) {
    Ints channels(static_cast<size_t>(y->type().rank()), 1);
    channels[1] = y->type().shape()[1];
    y = builder.Add(y, builder.Op("Reshape", {node->input(2), builder.Ints(channels)}));
  }
  ReplaceNode(node, y);
  return true;
}

}  // namespace

void LowerConvTranspose(ir::Graph& graph, const ir::OpRegistry& registry) {
  ForEachGraph(graph, [&registry](ir::Graph& each) {
    for (Node* node : each.nodes()) Lower(node, registry);
  });
}

}  // namespace ingot::passes
