// For tests: random graphs, random inputs for them, and the comparison of two graphs' results.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/tensor/tensor.h"

namespace ingot::passes {

struct RandomGraphOptions {
  int nodes = 30;
  bool smooth = false;  // only ops that are differentiable everywhere
};

// A graph of elementwise ops, products, reductions, reshapes, transposes, constants and broadcasts
// over small f64 matrices, with a few outputs; the same for the same seed. Its values stay
// moderate.
std::unique_ptr<ir::Graph> MakeRandomGraph(uint64_t seed, const ir::OpRegistry& registry,
                                           const RandomGraphOptions& options = {});

// For every input of the graph, which must be static, values in [-1, 1].
std::map<std::string, Tensor> RandomInputs(const ir::Graph& graph, uint64_t seed);

// Runs the graph before and after `change` with the same inputs, checks with GoogleTest that every
// output is the same within `tolerance` (relative to its largest element, at least 1), and verifies
// the changed graph. Symbolic inputs: give `inputs`.
void ExpectSameResults(ir::Graph& graph, const std::function<void(ir::Graph&)>& change,
                       double tolerance = 0, std::map<std::string, Tensor> inputs = {});

// How many nodes of an op ("ingot.FusedMatMul") the graph has, without its subgraphs.
int CountNodes(const ir::Graph& graph, const std::string& full_name);

// Runs a pass and eliminates dead code, with the same results; `left`: how many nodes of each op
// are there then.
void ExpectAfterPass(ir::Graph& graph, const ir::OpRegistry& registry,
                     void (*pass)(ir::Graph&, const ir::OpRegistry&), double tolerance,
                     const std::map<std::string, int>& left);

}  // namespace ingot::passes
