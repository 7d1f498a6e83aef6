// The kernels an executable consists of: code bound to shapes and attributes when a graph is
// compiled, so that running one is a single call with pointers. Immutable and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ingot::runtime {

// One op (or fused op) on whole tensors.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Operands: the node's inputs, then its outputs; null where an optional one is absent.
  // `scratch` has scratch_bytes() bytes, aligned to 64, for this call alone.
  virtual void Run(std::span<void* const> operands, std::byte* scratch) const = 0;
  virtual size_t scratch_bytes() const { return 0; }
  virtual std::string name() const = 0;  // "matmul_f32", "reference Softmax"
};

// Where the shards of a batch left one value: base + offset, `rows` rows of it.
struct ShardValue {
  const std::byte* data = nullptr;
  int64_t rows = 0;
};

// A reduction over shards by the fixed tree, computed tile by tile.
class ReduceKernel {
 public:
  virtual ~ReduceKernel() = default;
  // Rows [begin, end) of the result into `out`, dense. inputs[i][s]: input i of shard s.
  virtual void Run(std::span<const std::span<const ShardValue>> inputs, int64_t begin, int64_t end,
                   std::byte* out, std::byte* scratch) const = 0;
  virtual size_t scratch_bytes() const { return 0; }
  virtual std::string name() const = 0;
};

// An optimizer's update of a range of one parameter and its state.
class UpdateKernel {
 public:
  virtual ~UpdateKernel() = default;
  // Operands: the update op's inputs, then its outputs, each at the first element of the range;
  // outputs may be the same memory as the inputs they replace. `derived`: what Derive wrote.
  // Returns whether every gradient was finite.
  virtual bool Run(std::span<void* const> operands, const double* derived, int64_t count) const = 0;
  // Numbers that depend on the step alone (bias corrections), worked out once a step.
  // `operands` as above, of which only the scalars may be read.
  virtual size_t derived_count() const { return 0; }
  virtual void Derive(std::span<void* const> operands, double* derived) const {
    static_cast<void>(operands);
    static_cast<void>(derived);
  }
  virtual std::string name() const = 0;
};

}  // namespace ingot::runtime
