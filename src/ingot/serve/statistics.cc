// Counters and times of a model.
#include "ingot/serve/statistics.h"

#include <algorithm>

namespace ingot::serve {
namespace {

uint64_t NowMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

void Histogram::Add(double seconds) {
  const auto at = std::lower_bound(kTimeBounds.begin(), kTimeBounds.end(), seconds);
  ++counts[static_cast<size_t>(at - kTimeBounds.begin())];
  sum += seconds;
}

uint64_t Histogram::total() const {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return total;
}

void ModelStatistics::AddBatch(std::span<const JobPtr> jobs, int64_t rows) {
  if (jobs.empty()) return;
  const JobTimes& of_batch = jobs[0]->times;
  const uint64_t now = NowMs();
  const std::scoped_lock lock(mutex_);
  StatisticsValues& v = values_;
  v.last_inference_ms = now;
  v.execution_count += 1;
  v.inference_count += static_cast<uint64_t>(rows);
  for (const JobPtr& job : jobs) {
    const JobTimes& t = job->times;
    const int64_t queue = Nanoseconds(t.compute_start - t.queued);
    const int64_t whole = Nanoseconds(t.compute_end - t.received);
    v.success.Add(whole);
    v.queue.Add(queue);
    v.compute_input.Add(t.input_ns);
    v.compute_infer.Add(t.infer_ns);
    v.compute_output.Add(t.output_ns);
    v.request_seconds.Add(1e-9 * static_cast<double>(whole));
    v.queue_seconds.Add(1e-9 * static_cast<double>(queue));
  }
  v.compute_seconds.Add(1e-9 * static_cast<double>(of_batch.infer_ns));
  BatchStatistics& batch = v.batches[rows];
  batch.input.Add(of_batch.input_ns);
  batch.infer.Add(of_batch.infer_ns);
  batch.output.Add(of_batch.output_ns);
}

void ModelStatistics::AddFailure(const InferJob& job, Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  values_.fail.Add(Nanoseconds(now - job.times.received));
  if (job.status.code == StatusCode::kUnavailable) ++values_.rejected;
  if (job.status.code == StatusCode::kCancelled) ++values_.cancelled;
}

void ModelStatistics::AddCacheHit(const InferJob& job, int64_t lookup_ns, Clock::time_point now) {
  const uint64_t now_ms = NowMs();
  const std::scoped_lock lock(mutex_);
  values_.last_inference_ms = now_ms;
  values_.inference_count += static_cast<uint64_t>(job.rows);
  values_.success.Add(Nanoseconds(now - job.times.received));
  values_.cache_hit.Add(lookup_ns);
  values_.request_seconds.Add(1e-9 * static_cast<double>(Nanoseconds(now - job.times.received)));
}

void ModelStatistics::AddCacheMiss(int64_t insert_ns) {
  const std::scoped_lock lock(mutex_);
  values_.cache_miss.Add(insert_ns);
}

StatisticsValues ModelStatistics::Values() const {
  const std::scoped_lock lock(mutex_);
  return values_;
}

}  // namespace ingot::serve
