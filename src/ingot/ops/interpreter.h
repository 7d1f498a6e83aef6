// The interpreter: evaluates any graph with the ops' reference kernels. Slow, simple, and the
// meaning of every graph: tests compare everything faster with it, constant folding computes with
// it, and a run that hits a NaN is replayed in it to find the op that made the first one.
//
// Pure functions, no state; safe to call from several threads. The results depend on the graph and
// its inputs alone. Intermediate values are freed after their last use.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/tensor/datum.h"
#include "ingot/tensor/tensor.h"

namespace ingot::ops {

// Called after every node with its outputs, in order of execution; inside the body of a
// ingot.ShardMap too, once for each shard, and then for the ShardMap itself. The node is the one of
// the graph that was given (of its subgraphs), not of a copy. Returning false ends the
// interpretation.
using Observer = std::function<bool(const ir::Node& node, std::span<const Tensor> outputs)>;

// Called before the body of an ingot.ShardMap runs for a shard, which holds the samples
// [first_row, first_row + rows) of the batch.
using ShardObserver = std::function<void(int64_t shard, int64_t first_row, int64_t rows)>;

// Evaluates `graph`, whose extents may be static, symbolic or unknown: actual shapes are inferred
// on the way. `inputs` holds a tensor for every input of the graph, by name. Returns the outputs by
// name; when the observer ended it early, those that were computed by then.
//
// Throws Error: kInvalidInput where an input is missing, unknown or of another type or shape than
// the graph's, or where shapes do not fit inside; kUnsupported for an op without a reference
// kernel. Errors from within name the node and its layer.
std::map<std::string, Tensor> Interpret(const ir::Graph& graph,
                                        const std::map<std::string, Tensor>& inputs,
                                        const Observer& observer = nullptr,
                                        const ShardObserver& on_shard = nullptr);

// The same with inputs and outputs in the order of the graph, for subgraphs. After an early end the
// outputs not computed by then are empty.
std::vector<Tensor> InterpretInOrder(const ir::Graph& graph, std::span<const Tensor> inputs,
                                     const Observer& observer = nullptr,
                                     const ShardObserver& on_shard = nullptr);

// Any graph, with sequences and optionals among its inputs and outputs.
std::vector<Datum> InterpretValues(const ir::Graph& graph, std::span<const Datum> inputs);

// One node on its own. `node` belongs to a graph whose input types may be symbolic; the outputs'
// shapes follow from `inputs` (an empty tensor for an absent optional one).
std::vector<Tensor> InterpretNode(const ir::Node& node, std::span<const Tensor> inputs);

}  // namespace ingot::ops
