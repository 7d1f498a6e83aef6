// ModelStatistics: what a version of a model has done, as the statistics calls and the metrics
// tell.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "ingot/serve/job.h"

namespace ingot::serve {

struct CountedTime {
  uint64_t count = 0;
  uint64_t ns = 0;
  void Add(int64_t time, uint64_t times = 1) {
    count += times;
    ns += time > 0 ? static_cast<uint64_t>(time) : 0;
  }
};

struct BatchStatistics {
  CountedTime input, infer, output;
};

// Bounds of a histogram of times: 10 us to 10 s, three a decade; then everything.
inline constexpr std::array<double, 18> kTimeBounds = {1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4,
                                                       1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2,
                                                       0.1,  0.25,   0.5,  1,    2.5,    10};

struct Histogram {
  std::array<uint64_t, kTimeBounds.size() + 1> counts = {};
  double sum = 0;
  void Add(double seconds);
  uint64_t total() const;
};

struct StatisticsValues {
  uint64_t last_inference_ms = 0;  // since 1970
  uint64_t inference_count = 0;
  uint64_t execution_count = 0;
  CountedTime success, fail, queue, compute_input, compute_infer, compute_output, cache_hit,
      cache_miss;
  uint64_t rejected = 0, cancelled = 0;
  std::map<int64_t, BatchStatistics> batches;  // by rows
  Histogram request_seconds, queue_seconds, compute_seconds;
};

// Safe for use by several threads.
class ModelStatistics {
 public:
  // One batch was computed: `jobs` have their times; all ended well.
  void AddBatch(std::span<const JobPtr> jobs, int64_t rows);
  void AddFailure(const InferJob& job, Clock::time_point now);
  void AddCacheHit(const InferJob& job, int64_t lookup_ns, Clock::time_point now);
  void AddCacheMiss(int64_t insert_ns);
  StatisticsValues Values() const;

 private:
  mutable std::mutex mutex_;
  StatisticsValues values_;
};

}  // namespace ingot::serve
