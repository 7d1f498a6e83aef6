// Copies for outputs that would share bytes with something else.
#include "ingot/compiler/separate_outputs.h"

#include <set>

#include "ingot/ir/builder.h"
#include "ingot/passes/rewrite.h"

namespace ingot::compiler {

void SeparateOutputs(ir::Graph& graph, const ir::OpRegistry& registry) {
  std::set<const ir::Value*> seen;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    ir::Value* value = graph.outputs()[i];
    const bool computed =
        value->producer() != nullptr && !passes::Is(value->producer(), "Constant");
    if (seen.insert(value).second && computed) continue;
    ir::Builder builder(graph, registry);
    graph.SetOutput(i, builder.Op("Identity", {value}));
  }
}

}  // namespace ingot::compiler
