// The CPU backend's choice of kernels: for each op an ordered list, most specialised first; the
// op's reference kernel comes last, so that every op that has one runs.
//
// The choice depends on the node (op, attributes, shapes, types) and on the instruction set alone,
// never on timing, so that equal jobs get equal bits on equal machines.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ingot/ir/graph.h"
#include "ingot/runtime/kernel.h"

namespace ingot::cpu {

// For a node with static shapes. The node must outlive the kernel (references read its attributes).
// Throws Error(kUnsupported) naming the op where there is not even a reference.
std::shared_ptr<const runtime::Kernel> MakeKernel(const ir::Node& node);
// The reference alone, whatever else there is.
std::shared_ptr<const runtime::Kernel> MakeReferenceKernel(const ir::Node& node);

// ingot.TreeReduce of partials, or of the products of ingot.ShardMatMul (`product`).
// rows x row_elements is the result; `largest_rows` the most rows of x and d in a shard.
struct ReduceRequest {
  DType dtype = DType::kF32;
  bool product = false;
  bool bytes = false;  // the left factor is bytes that stand for `byte_scale` times themselves
  float byte_scale = 1;
  int64_t rows = 1;
  int64_t row_elements = 1;
  int64_t shards = 1;
  int64_t largest_rows = 1;
};
std::shared_ptr<const runtime::ReduceKernel> MakeReduceKernel(const ReduceRequest& request);
// How many rows of a product's result a task should take, 0 where it does not matter: a kernel that
// packs the whole right side for each call wants many, as far as they fit the second-level cache.
int64_t RowsAtOnce(const ReduceRequest& request);

// Of an optimizer (updates/update.h); null for another op.
std::shared_ptr<const runtime::UpdateKernel> MakeUpdateKernel(const ir::Node& node);

// The instruction sets that this build has code for and this machine runs, best first.
std::vector<std::string> InstructionSets();
// Confines kernels to one of them ("AVX2"), for tests and comparisons; "" means the best again.
// Throws Error(kInvalidInput). Process-wide (Highway's dispatch is); not while kernels run.
void UseInstructionSet(const std::string& name);
// The one in use.
std::string InstructionSet();

}  // namespace ingot::cpu
