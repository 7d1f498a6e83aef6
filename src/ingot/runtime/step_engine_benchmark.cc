// What the engine itself costs: steps whose kernels do nothing, by the number of kernels of a
// shard.
#include <benchmark/benchmark.h>

#include "ingot/runtime/step_engine.h"
#include "ingot/runtime/step_program.h"

namespace ingot::runtime {
namespace {

class Nothing : public Kernel {
 public:
  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    benchmark::DoNotOptimize(operands.data());
  }
  std::string name() const override { return "nothing"; }
};

std::shared_ptr<StepProgram> MakeProgram(int kernels) {
  auto program = std::make_shared<StepProgram>();
  program->batch = 4;
  program->shard_begin = {0, 1, 2, 3, 4};
  program->routine_of_shard = {0, 0, 0, 0};
  program->slot_bytes = 64;
  program->arena_bytes = 256;
  ShardRoutine routine;
  routine.rows = 1;
  for (int i = 0; i < kernels; ++i) {
    Instruction instruction;
    instruction.kernel = std::make_shared<Nothing>();
    instruction.operands = {
        {Operand::Space::kArena, 0}, {Operand::Space::kArena, 64}, {Operand::Space::kArena, 128}};
    routine.instructions.push_back(std::move(instruction));
  }
  program->routines.push_back(std::move(routine));
  return program;
}

// Arguments: kernels of each of 4 shards, threads. The time is that of one step.
void BM_EmptyStep(benchmark::State& state) {
  StepEngine engine({MakeProgram(static_cast<int>(state.range(0)))},
                    static_cast<int>(state.range(1)));
  StepRequest request;
  request.count = 1000;
  for (auto _ : state) {
    engine.Run(request);
    request.first_step += request.count;
  }
  state.counters["ns/kernel"] = benchmark::Counter(
      1e-9 * static_cast<double>(request.count * 4 * state.range(0)),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_EmptyStep)->Args({1, 1})->Args({100, 1})->Args({1, 2})->Args({100, 2})->UseRealTime();

}  // namespace
}  // namespace ingot::runtime
