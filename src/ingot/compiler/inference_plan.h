// InferencePlan: a graph of static shapes as a list of kernels bound to memory, ready to run.
//
// Made once for each set of input shapes (infer/executor.h keeps them), immutable, and run by many
// threads at once, each with a Context of its own: one arena that the memory planner laid out, and
// scratch for each thread of a team. Constants are read where they lie; those that kernels want in
// another layout were packed when the plan was made (backends/cpu/packed_weights.h). A run
// allocates nothing and takes no lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/packed_weights.h"
#include "ingot/ir/graph.h"
#include "ingot/ir/op.h"
#include "ingot/passes/pass.h"
#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::compiler {

// One kernel of a plan, for reports.
struct PlannedKernel {
  std::string node;    // the node's name
  std::string op;      // "Conv"
  std::string kernel;  // "convolution_f32"
  std::string shape;   // of the first output: "f32[1, 64, 56, 56]"
  double flops = 0;
};

class InferencePlan {
 public:
  // `graph` has static input types; it is optimised in place. Throws Error(kUnsupported) where some
  // value's extents depend on the values of inputs, or an op has no kernel: then only the dynamic
  // executor can run it. Where `weights` defers the packing, PackAll must come before the first
  // run.
  InferencePlan(std::unique_ptr<ir::Graph> graph, const ir::OpRegistry& registry,
                passes::PassRunner& passes, cpu::PackedWeights& weights);
  ~InferencePlan();
  InferencePlan(const InferencePlan&) = delete;
  InferencePlan& operator=(const InferencePlan&) = delete;

  struct OutputType {
    DType dtype;
    Shape shape;
  };
  const std::vector<OutputType>& outputs() const { return outputs_; }
  const std::vector<PlannedKernel>& kernels() const { return kernels_; }
  size_t arena_bytes() const { return arena_bytes_; }
  const ir::Graph& graph() const { return *graph_; }

  // What one run at a time needs.
  class Context {
   public:
    Context(const InferencePlan& plan, size_t threads);

   private:
    friend class InferencePlan;
    std::shared_ptr<std::byte> memory_;
    std::byte* scratch_ = nullptr;
    std::vector<void*> operands_;
  };

  // `inputs` and `outputs`: bytes in the order of the graph, of the types that it has.
  // `nanoseconds`: where given, an entry for each of kernels() to which its time is added.
  void Run(Context& context, std::span<const void* const> inputs, std::span<void* const> outputs,
           runtime::Team& team, std::span<int64_t> nanoseconds = {}) const;

 private:
  enum class Space : uint8_t { kNone, kArena, kConstant, kInput, kOutput };
  struct Place {
    Space space = Space::kNone;
    size_t at = 0;  // offset in the arena; index of the constant, the input or the output
  };
  struct Instruction {
    std::shared_ptr<const runtime::Kernel> kernel;
    const runtime::SharedKernel* shared = nullptr;  // the kernel, where threads may share its work
    uint32_t first = 0, count = 0;                  // operands

    void Run(void* const* operands, std::byte* scratch, size_t stride, runtime::Team& team) const;
  };
  struct Patch {
    uint32_t operand;
    uint32_t index;  // of the input or output
  };
  class Emitter;

  std::unique_ptr<ir::Graph> graph_;
  std::vector<OutputType> outputs_;
  std::vector<Tensor> constants_;
  std::vector<Instruction> instructions_;
  std::vector<Place> operands_;
  std::vector<Patch> input_patches_, output_patches_;
  std::vector<PlannedKernel> kernels_;
  size_t arena_bytes_ = 0;
  size_t scratch_bytes_ = 0;  // of one thread
};

}  // namespace ingot::compiler
