// Tensor parallelism: cuts the layers of a network's forward graph for one place of a mesh, as
// Shoeybi et al. 2019 do, before its gradient is made.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"

namespace ingot::passes {

// The part of a parameter that a place holds: these ranges along an axis, one behind the other.
struct TensorSlice {
  struct Range {
    int64_t begin = 0;
    int64_t end = 0;
  };
  int axis = 0;
  std::vector<Range> ranges;
  Shape whole;

  int64_t extent() const {
    int64_t sum = 0;
    for (const Range& range : ranges) sum += range.end - range.begin;
    return sum;
  }
  Shape part() const;
  // The part of a tensor of the whole shape; and the other way.
  Tensor Take(const Tensor& tensor) const;
  void Put(const Tensor& part, Tensor& tensor) const;
};

struct TensorSplit {
  std::map<std::string, TensorSlice> slices;  // of parameters by name; others are whole
  std::vector<std::string> layers;            // those whose products are cut, in order
};

// For place `place` of `size`:
// - a product whose left side is made of other products by elementwise ops, attention and views is
//   cut by rows, those others by columns, so that nothing is exchanged between them: dense layers
//   one behind the other, the two halves of a feed-forward layer, attention by its heads;
// - any other product is cut by rows, where it is large enough;
// - the table of an embedding is cut by its columns, for a tied product too.
// Behind a product that is cut by rows stands ingot.MeshSum, before those cut by columns
// ingot.MeshShare. What does not divide evenly stays whole. Values of the result differ from those
// of the whole graph in the order of sums alone.
TensorSplit SplitTensor(ir::Graph& graph, const ir::OpRegistry& registry, int place, int size);

}  // namespace ingot::passes
