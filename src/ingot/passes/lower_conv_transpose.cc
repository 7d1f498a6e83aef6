// Rewrites ConvTranspose as the gradient of a convolution's input.
#include "ingot/passes/lower_conv_transpose.h"

#include <vector>

#include "ingot/ops/convolution.h"
#include "ingot/passes/rewrite.h"

namespace ingot::passes {
namespace {

using ir::Node;
using ir::Value;
using Ints = std::vector<int64_t>;

// The convolution that goes from Y to X; false where there is none.
bool ConvolutionBack(const Node& node, ir::Attributes& attributes) {
  const ir::Type& x = node.input(0)->type();
  const ir::Type& w = node.input(1)->type();
  const ir::Type& y = node.output()->type();
  if (!x.is_static() || !w.is_static() || !y.is_static() || y.shape().size() == 0) return false;
  // Nodes that name the extents of the result, not the padding, are left as they are.
  if (node.GetString("auto_pad") != "NOTSET" || node.HasAttribute("output_shape")) return false;
  const ops::Convolution back = ops::TransposedConvolutionOf(node, x, w);
  Ints begins, ends, strides, dilations, spatial;
  for (const ops::WindowAxis& axis : back.windows) {
    const int64_t room = axis.input.value() + axis.pad_begin + axis.pad_end - axis.span();
    if (axis.pad_begin < 0 || axis.pad_end < 0 || room < 0) return false;
    if (room / axis.stride + 1 != axis.output.value()) return false;
    begins.push_back(axis.pad_begin);
    ends.push_back(axis.pad_end);
    strides.push_back(axis.stride);
    dilations.push_back(axis.dilation);
    spatial.push_back(axis.input.value());
  }
  begins.insert(begins.end(), ends.begin(), ends.end());
  attributes = {{"group", back.group},
                {"pads", begins},
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
