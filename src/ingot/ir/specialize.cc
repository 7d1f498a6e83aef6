// Specialize: symbolic dimensions become numbers.
//
// A subgraph has its own symbols: what "batch" is in the body of a ShardMap (the rows of a shard)
// is not what it is around it. So only the symbols of the graph itself are bound; ops with
// subgraphs say in their shape rule how the two are related.
#include "ingot/base/error.h"
#include "ingot/ir/builder.h"

namespace ingot::ir {

namespace {

using Bindings = std::map<std::string, int64_t>;

Type Bind(const Type& type, const Bindings& bindings) {
  switch (type.kind()) {
    case Type::Kind::kUnknown:
      return type;
    case Type::Kind::kSequence:
      return Type::Sequence(Bind(type.element(), bindings));
    case Type::Kind::kOptional:
      return Type::Optional(Bind(type.element(), bindings));
    case Type::Kind::kTensor:
      break;
  }
  if (!type.has_rank()) return type;
  Dimensions dims = type.dims();
  for (Dimension& dim : dims) {
    if (!dim.is_symbolic()) continue;
    const auto found = bindings.find(dim.symbol());
    if (found != bindings.end()) dim = Dimension(found->second);
  }
  return type.WithDims(std::move(dims));
}

}  // namespace

std::unique_ptr<Graph> Specialize(const Graph& graph, const Bindings& bindings) {
  for (const auto& binding : bindings) {
    if (binding.second >= 0) continue;
    throw Error(ErrorCode::kInvalidInput, "dimension '" + binding.first + "' cannot be " +
                                              std::to_string(binding.second) +
                                              "; a number from 0 on is expected");
  }
  std::unique_ptr<Graph> copy = graph.Clone();
  for (Value* input : copy->inputs()) input->set_type(Bind(input->type(), bindings));
  InferGraph(*copy);
  return copy;
}

}  // namespace ingot::ir
