// Candidates from the fastest to the smallest: see memory_plan.h.
#include "ingot/train/memory_plan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::train {
namespace {

// Segments that are tried; 1: nothing is computed again, but weight gradients stay in the shards.
constexpr int kSegments[] = {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32};

MemoryPlanChoice Try(int segments, compiler::CompileOptions options, int threads,
                     const CompilePrograms& compile) {
  options.recompute_segments = segments > 1 ? segments : 0;
  options.keep_weight_gradients_inside = segments > 0;
  MemoryPlanChoice choice;
  choice.programs = compile(options);
  choice.recompute_segments = options.recompute_segments;
  choice.bytes = compiler::EngineBytes(choice.programs, threads);
  return choice;
}

}  // namespace

MemoryPlanChoice PlanWithin(uint64_t limit, compiler::CompileOptions options, int64_t shards,
                            const CompilePrograms& compile, int64_t batch,
                            const std::function<uint64_t(int64_t batch)>& smaller) {
  const int threads = static_cast<int>(std::clamp<int64_t>(shards, 1, 8));
  uint64_t least = UINT64_MAX;
  for (const int segments : kSegments) {
    MemoryPlanChoice choice = Try(segments, options, threads, compile);
    if (limit == 0 || choice.bytes <= limit) return choice;
    least = std::min(least, choice.bytes);
  }
  std::string fits;
  for (int64_t half = batch / 2; half >= 1 && fits.empty(); half /= 2) {
    const uint64_t bytes = smaller(half);
    if (bytes > 0 && bytes <= limit) fits = fmt::format("data.batch: {} would fit, or ", half);
  }
  throw Error(
      ErrorCode::kOutOfMemory,
      fmt::format("memory_limit is {}, and a step needs {} even where activations are "
                  "computed again",
                  HumanBytes(limit), HumanBytes(least)),
      fits + fmt::format("memory_limit: {}MiB{}", (least >> 20) + 1,
                         fits.empty() ? "; parameters and optimizer state alone may be what "
                                        "does not fit: a smaller model"
                                      : ""));
}

}  // namespace ingot::train
