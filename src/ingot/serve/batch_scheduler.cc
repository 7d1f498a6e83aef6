// The queue of a model, and the threads that empty it.
#include "ingot/serve/batch_scheduler.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "ingot/serve/executor.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

// Batches that take less are computed on the event loop.
constexpr int64_t kShortBatchNs = 300'000;
// Batches that take less are computed by one thread: waking another, and waiting for it where
// clients keep the CPUs busy, takes as long.
constexpr int64_t kAloneBatchNs = 100'000;
// A loop does not compute for longer before it looks at its sockets again.
constexpr int64_t kLoopShareNs = 2'000'000;

}  // namespace

class BatchQueue : public std::enable_shared_from_this<BatchQueue> {
 public:
  BatchQueue(const BatchSettings& settings, const ComputeGate& gate)
      : settings_(settings), gate_(gate), local_allowed_(LocalAllowed(settings)) {}

  void Submit(JobPtr job) {
    job->times.queued = Clock::now();
    Executor* const executor = Executor::Current();
    if (local_allowed_ && executor != nullptr && executor->index() < kMaxExecutors &&
        IsShort(batch_ns_.load(std::memory_order_relaxed), kShortBatchNs)) {
      Local& local = locals_[static_cast<size_t>(executor->index())];
      local.jobs.push_back(std::move(job));
      if (!std::exchange(local.posted, true)) {
        executor->Post([self = shared_from_this(), &local] { self->Flush(local); });
      }
      return;
    }
    Enqueue(std::move(job));
  }

  void Stop() {
    std::vector<std::thread> threads;
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
      threads.swap(threads_);
    }
    changed_.notify_all();
    for (std::thread& thread : threads) {
      // The last reference to a model may go in one of its own threads.
      if (thread.get_id() == std::this_thread::get_id()) {
        thread.detach();
      } else {
        thread.join();
      }
    }
  }

  int64_t queued() const { return queued_.load(std::memory_order_relaxed); }

 private:
  struct Local {
    std::vector<JobPtr> jobs;
    bool posted = false;
  };
  struct Level {
    QueuePolicy policy;
    std::deque<JobPtr> jobs;
    std::deque<JobPtr> late;  // their time is over, and the policy is to delay them
  };

  static bool LocalAllowed(const BatchSettings& s) {
    return s.levels == 0 && s.max_delay_us == 0 && s.preferred.empty() && !s.preserve_ordering;
  }

  static bool IsShort(int64_t ns, int64_t limit) { return ns != kUnknown && ns < limit; }

  int instances() const { return settings_.preserve_ordering ? 1 : settings_.instances; }

  uint64_t LevelOf(const InferJob& job) const {
    if (settings_.levels == 0) return 0;
    const uint64_t level = job.priority != 0 ? job.priority : settings_.default_level;
    return std::clamp<uint64_t>(level, 1, settings_.levels);
  }

  Level& LevelAt(uint64_t level) {
    const auto found = levels_.find(level);
    if (found != levels_.end()) return found->second;
    Level& made = levels_[level];
    const auto policy = settings_.policies.find(level);
    made.policy = policy != settings_.policies.end() ? policy->second : settings_.default_policy;
    if (made.policy.max_queued <= 0) made.policy.max_queued = settings_.max_queued;
    return made;
  }

  void Enqueue(JobPtr job) {
    Status refusal;
    {
      const std::scoped_lock lock(mutex_);
      Level& level = LevelAt(LevelOf(*job));
      const size_t waiting = level.jobs.size() + level.late.size();
      if (static_cast<int64_t>(waiting) >= level.policy.max_queued) {
        refusal = Unavailable("the queue of model '" + job->model->name +
                              "' is full: " + std::to_string(waiting) + " requests wait");
      } else {
        level.jobs.push_back(std::move(job));
        queued_.fetch_add(1, std::memory_order_relaxed);
        StartThread();
      }
    }
    if (!refusal.ok()) {
      Refuse(job, std::move(refusal));
      return;
    }
    changed_.notify_one();
  }

  // One more thread where all are busy; called under the lock.
  void StartThread() {
    if (idle_ > 0 || static_cast<int>(threads_.size()) >= instances() || stopping_) return;
    threads_.emplace_back([self = shared_from_this()] { self->Work(); });
  }

  // On the event loop: what arrived since the last time.
  void Flush(Local& local) {
    local.posted = false;
    std::vector<JobPtr> jobs;
    jobs.swap(local.jobs);
    size_t at = 0;
    const Clock::time_point begin = Clock::now();
    while (at < jobs.size()) {
      if (RefuseCancelled(jobs[at])) {
        ++at;
        continue;
      }
      if (Nanoseconds(Clock::now() - begin) > kLoopShareNs || !TryBegin(*jobs[at])) break;
      const std::shared_ptr<const ServedModel> model = jobs[at]->model;
      std::vector<JobPtr> batch;
      int64_t rows = 0;
      while (at < jobs.size()) {
        if (!batch.empty() && RefuseCancelled(jobs[at])) {
          ++at;
          continue;
        }
        if (!batch.empty() && !Joins(*batch[0], *jobs[at], rows)) break;
        rows += jobs[at]->rows;
        batch.push_back(std::move(jobs[at++]));
      }
      Compute(model, batch);
    }
    for (; at < jobs.size(); ++at) Enqueue(std::move(jobs[at]));
    if (local.jobs.empty()) {
      jobs.clear();
      jobs.swap(local.jobs);  // keeps the memory
    }
  }

  bool Joins(const InferJob& first, const InferJob& next, int64_t rows) const {
    return settings_.join && rows + next.rows <= settings_.max_batch && CanJoin(first, next);
  }

  // An instance and a turn, if both are free.
  bool TryBegin(const InferJob& job) {
    const std::scoped_lock lock(mutex_);
    if (busy_ >= instances() || !gate_.TryEnter(job.model->account)) return false;
    ++busy_;
    return true;
  }

  static bool RefuseCancelled(const JobPtr& job) {
    if (!job->IsCancelled()) return false;
    Refuse(job, {StatusCode::kCancelled, "the request was cancelled"});
    return true;
  }

  // Computes with the instance and the turn that the caller has taken, and gives them back; also
  // where nothing is left to be computed.
  void Compute(const std::shared_ptr<const ServedModel>& model, std::vector<JobPtr>& batch) {
    int64_t ns = 0;
    if (!batch.empty()) {
      const Clock::time_point begin = Clock::now();
      RunBatch(model, batch, IsShort(batch_ns_.load(std::memory_order_relaxed), kAloneBatchNs));
      ns = Nanoseconds(Clock::now() - begin);
      // A moving mean; the first batch, which warms caches up, counts little.
      const int64_t mean = batch_ns_.load(std::memory_order_relaxed);
      batch_ns_.store(mean == kUnknown ? ns / 2 : mean + (ns - mean) / 8,
                      std::memory_order_relaxed);
    }
    gate_.Leave(model->account, ns);
    bool wake = false;
    {
      const std::scoped_lock lock(mutex_);
      --busy_;
      wake = queued_.load(std::memory_order_relaxed) > 0;
    }
    if (wake) changed_.notify_one();
  }

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      WaitForBatch(lock);
      --idle_;
      if (stopping_ && queued() == 0) return;
      std::vector<JobPtr> refused;
      std::shared_ptr<const ServedModel> model = AnyModel();
      if (model == nullptr) continue;
      ++busy_;
      lock.unlock();
      gate_.Enter(model->account);  // more may arrive meanwhile
      lock.lock();
      std::vector<JobPtr> batch = TakeBatch(refused);
      lock.unlock();
      for (const JobPtr& job : refused) RefuseTaken(job);
      Compute(model, batch);
      // The last reference to a model ends its queue, which takes the lock.
      refused.clear();
      model.reset();
      lock.lock();
    }
  }

  static void RefuseTaken(const JobPtr& job) {
    if (RefuseCancelled(job)) return;
    Refuse(job, Unavailable("request timeout expired: it waited in the queue of model '" +
                            job->model->name + "'"));
  }

  // Returns when a batch should be computed now, or with stopping_ set.
  void WaitForBatch(std::unique_lock<std::mutex>& lock) {
    for (;;) {
      if (queued() == 0) {
        if (stopping_) return;
        changed_.wait(lock);
        continue;
      }
      if (busy_ >= instances()) {
        changed_.wait(lock);
        continue;
      }
      const Clock::time_point until = HoldUntil();
      if (stopping_ || until <= Clock::now()) return;
      changed_.wait_until(lock, until);
    }
  }

  // Until when the oldest may wait for company.
  Clock::time_point HoldUntil() const {
    if (settings_.max_delay_us == 0 || !settings_.join) return {};
    int64_t rows = 0;
    Clock::time_point oldest = Clock::time_point::max();
    for (const auto& [number, level] : levels_) {
      for (const JobPtr& job : level.jobs) {
        rows += job->rows;
        oldest = std::min(oldest, job->times.queued);
      }
      if (!level.late.empty()) return {};
    }
    int64_t enough = settings_.max_batch;
    for (const int64_t size : settings_.preferred) enough = std::min(enough, size);
    if (rows >= enough) return {};
    return oldest + std::chrono::microseconds(settings_.max_delay_us);
  }

  std::shared_ptr<const ServedModel> AnyModel() const {
    for (const auto& [number, level] : levels_) {
      if (!level.jobs.empty()) return level.jobs.front()->model;
      if (!level.late.empty()) return level.late.front()->model;
    }
    return nullptr;
  }

  bool Expired(const InferJob& job, const QueuePolicy& policy, Clock::time_point now) const {
    uint64_t timeout = policy.default_timeout_us;
    if (policy.allow_timeout_override && job.timeout_us != 0) timeout = job.timeout_us;
    return timeout != 0 && now - job.times.queued > std::chrono::microseconds(timeout);
  }

  // The largest preferred size that what waits can fill; otherwise as many as there may be.
  int64_t TargetRows() const {
    if (settings_.preferred.empty()) return settings_.max_batch;
    int64_t rows = 0;
    for (const auto& [number, level] : levels_) {
      for (const JobPtr& job : level.jobs) rows += job->rows;
    }
    int64_t best = 0;
    for (const int64_t size : settings_.preferred) {
      if (size <= rows && size <= settings_.max_batch) best = std::max(best, size);
    }
    return best > 0 ? best : settings_.max_batch;
  }

  std::vector<JobPtr> TakeBatch(std::vector<JobPtr>& refused) {
    std::vector<JobPtr> batch;
    const Clock::time_point now = Clock::now();
    const int64_t target = std::max<int64_t>(TargetRows(), 1);
    int64_t rows = 0;
    for (const bool late : {false, true}) {
      for (auto& [number, level] : levels_) {
        std::deque<JobPtr>& jobs = late ? level.late : level.jobs;
        while (!jobs.empty()) {
          JobPtr& job = jobs.front();
          if (job->IsCancelled() ||
              (!late && level.policy.reject && Expired(*job, level.policy, now))) {
            refused.push_back(std::move(job));
          } else if (!late && Expired(*job, level.policy, now)) {
            level.late.push_back(std::move(job));
            jobs.pop_front();
            continue;
          } else if (batch.empty() ||
                     (rows + job->rows <= target && Joins(*batch[0], *job, rows))) {
            rows += job->rows;
            batch.push_back(std::move(job));
          } else {
            return batch;
          }
          jobs.pop_front();
          queued_.fetch_sub(1, std::memory_order_relaxed);
        }
      }
    }
    return batch;
  }

  static constexpr int64_t kUnknown = -1;

  const BatchSettings settings_;
  ComputeGate gate_;
  const bool local_allowed_;
  std::array<Local, kMaxExecutors> locals_;  // each used by one event loop alone
  std::atomic<int64_t> batch_ns_ = kUnknown;
  std::atomic<int64_t> queued_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Level> levels_;
  std::vector<std::thread> threads_;
  int idle_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
};

BatchScheduler::BatchScheduler(const BatchSettings& settings, ComputeGate& gate)
    : queue_(std::make_shared<BatchQueue>(settings, gate)) {}

BatchScheduler::~BatchScheduler() {
  queue_->Stop();
}

void BatchScheduler::Submit(JobPtr job) {
  queue_->Submit(std::move(job));
}

int64_t BatchScheduler::queued() const {
  return queue_->queued();
}

}  // namespace ingot::serve
