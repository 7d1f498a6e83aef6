// Candidates from the fastest to the smallest: see memory_plan.h.
#include "ingot/train/memory_plan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/dist/buckets.h"
#include "ingot/dist/dealing.h"
#include "ingot/dist/distributed_program.h"
#include "ingot/dist/ownership.h"

namespace ingot::train {
namespace {

// Segments that are tried; 1: nothing is computed again, but weight gradients stay in the shards.
constexpr int kSegments[] = {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32};

MemoryPlanChoice Try(int segments, compiler::CompileOptions options, const CountBytes& count,
                     const CompilePrograms& compile) {
  options.recompute_segments = segments > 1 ? segments : 0;
  options.keep_weight_gradients_inside = segments > 0;
  MemoryPlanChoice choice;
  choice.programs = compile(options);
  choice.recompute_segments = options.recompute_segments;
  choice.bytes = count(choice.programs);
  return choice;
}

int ThreadsOf(int64_t shards) {
  return static_cast<int>(std::clamp<int64_t>(shards, 1, 8));
}

}  // namespace

CountBytes BytesOfProcess(int64_t shards) {
  return [threads = ThreadsOf(shards)](const auto& programs) {
    return compiler::EngineBytes(programs, threads);
  };
}

CountBytes BytesOfWorker(int workers, bool shards_optimizer) {
  return [=](const auto& programs) {
    std::vector<dist::Ownership> ownerships;
    std::vector<dist::Buckets> buckets;
    for (const auto& program : programs) {
      if (shards_optimizer) {
        ownerships.push_back(dist::DealUpdates(*program, workers));
      } else {
        buckets.push_back(dist::MakeBuckets(*program));
      }
    }
    uint64_t most = 0;
    for (int rank = 0; rank < workers; ++rank) {
      std::vector<std::shared_ptr<const runtime::StepProgram>> parts;
      dist::ExchangePlans plans;
      int shards = 0;
      for (size_t i = 0; i < programs.size(); ++i) {
        dist::DistributedOptions options;
        options.rank = rank;
        options.workers = workers;
        if (shards_optimizer) options.ownership = &ownerships[i];
        options.buckets = shards_optimizer ? &ownerships[i].buckets : &buckets[i];
        parts.push_back(dist::MakeDistributedProgram(programs[i], options, plans));
        const auto dealt = dist::DealShards(programs[i]->shards(), workers);
        shards = std::max(shards, dealt[static_cast<size_t>(rank)].size());
      }
      most = std::max(most, compiler::EngineBytes(parts, ThreadsOf(shards)));
    }
    return most;
  };
}

MemoryPlanChoice PlanWithin(uint64_t limit, compiler::CompileOptions options,
                            const CountBytes& count, const CompilePrograms& compile, int64_t batch,
                            const std::function<uint64_t(int64_t batch)>& smaller) {
  uint64_t least = UINT64_MAX;
  for (const int segments : kSegments) {
    MemoryPlanChoice choice = Try(segments, options, count, compile);
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
