// Sequences: their places, their order and their state.
#include "ingot/serve/sequence_scheduler.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

constexpr uint64_t kMostIdleUs = 365ULL * 24 * 3600 * 1'000'000;

std::string Repeat(const std::string& bytes, int64_t times) {
  std::string all;
  for (int64_t i = 0; i < times; ++i) all += bytes;
  return all;
}

}  // namespace

// Outlives the scheduler while jobs are under way.
class SequenceCore : public std::enable_shared_from_this<SequenceCore> {
 public:
  SequenceCore(SequenceSettings settings, std::unique_ptr<Scheduler> below)
      : settings_(std::move(settings)),
        idle_(std::chrono::microseconds(std::min(settings_.idle_us, kMostIdleUs))),
        below_(std::move(below)) {}

  void Submit(JobPtr job);
  void Stop();
  int64_t queued() const { return below_->queued(); }

 private:
  friend class SequenceStep;
  struct Sequence {
    std::string id;
    std::deque<JobPtr> jobs;
    bool running = false;
    bool placed = false;
    bool ended = false;  // its last request was taken
    std::vector<Value> states;
    Clock::time_point last_used;
  };
  using SequencePtr = std::shared_ptr<Sequence>;

  // Under the lock:
  void DropIdle(Clock::time_point now);
  Clock::time_point NextDrop(Clock::time_point now) const;
  void Place(std::vector<SequencePtr>& runnable);
  std::vector<JobPtr> NextSteps(std::vector<SequencePtr> runnable);
  JobPtr NextStep(const SequencePtr& sequence);
  void Watch();

  void WatchIdle();
  void Completed(const SequencePtr& sequence, const JobPtr& outer, InferJob& step);

  const SequenceSettings settings_;
  const Clock::duration idle_;
  const std::unique_ptr<Scheduler> below_;
  std::mutex mutex_;
  std::map<std::string, SequencePtr> sequences_;
  std::list<SequencePtr> backlog_;  // without a place, oldest first
  int64_t placed_ = 0;
  int64_t waiting_ = 0;
  std::thread watcher_;  // drops idle sequences while others wait; none before the first waits
  std::condition_variable changed_;
  bool stopping_ = false;
};

// One request of a sequence as the backend takes it: with controls and states.
class SequenceStep : public InferJob {
 public:
  SequenceStep(std::shared_ptr<SequenceCore> core, SequenceCore::SequencePtr sequence, JobPtr outer)
      : core_(std::move(core)), sequence_(std::move(sequence)), outer_(std::move(outer)) {
    internal = true;
  }
  void Finish() override {
    origin.reset();
    const JobPtr outer = std::move(outer_);
    core_->Completed(sequence_, outer, *this);
  }

 private:
  const std::shared_ptr<SequenceCore> core_;
  const SequenceCore::SequencePtr sequence_;
  JobPtr outer_;
};

void SequenceCore::DropIdle(Clock::time_point now) {
  for (auto it = sequences_.begin(); it != sequences_.end();) {
    const Sequence& s = *it->second;
    const bool idle = !s.running && s.jobs.empty() && now - s.last_used >= idle_;
    if (idle && s.placed) --placed_;
    it = idle ? sequences_.erase(it) : std::next(it);
  }
}

// No sequence can be dropped before.
Clock::time_point SequenceCore::NextDrop(Clock::time_point now) const {
  Clock::time_point next = now + idle_;
  for (const auto& [id, sequence] : sequences_) {
    if (sequence->running || !sequence->jobs.empty()) continue;
    next = std::min(next, sequence->last_used + idle_);
  }
  return next;
}

// Gives free places to the sequences that wait longest.
void SequenceCore::Place(std::vector<SequencePtr>& runnable) {
  while (placed_ < settings_.most_sequences && !backlog_.empty()) {
    const SequencePtr sequence = backlog_.front();
    backlog_.pop_front();
    sequence->placed = true;
    ++placed_;
    runnable.push_back(sequence);
  }
}

// What is to be computed next of these, and of those that get a place.
std::vector<JobPtr> SequenceCore::NextSteps(std::vector<SequencePtr> runnable) {
  Place(runnable);
  std::vector<JobPtr> steps;
  for (const SequencePtr& ready : runnable) {
    if (JobPtr step = NextStep(ready)) steps.push_back(std::move(step));
  }
  return steps;
}

// Sees to it that the sequences that wait get the places of idle ones, also where no request comes.
void SequenceCore::Watch() {
  if (backlog_.empty() || stopping_) return;
  if (!watcher_.joinable())
    watcher_ = std::thread([self = shared_from_this()] { self->WatchIdle(); });
  changed_.notify_one();
}

void SequenceCore::WatchIdle() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (backlog_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Clock::time_point now = Clock::now();
    DropIdle(now);
    std::vector<JobPtr> steps = NextSteps({});
    if (steps.empty()) {
      changed_.wait_until(lock, NextDrop(now));
      continue;
    }
    lock.unlock();
    for (JobPtr& step : steps) below_->Submit(std::move(step));
    steps.clear();
    lock.lock();
  }
}

void SequenceCore::Stop() {
  std::thread watcher;
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    watcher.swap(watcher_);
  }
  changed_.notify_all();
  if (!watcher.joinable()) return;
  // The last reference to a model may go in this thread.
  if (watcher.get_id() == std::this_thread::get_id()) {
    watcher.detach();
  } else {
    watcher.join();
  }
}

void SequenceCore::Submit(JobPtr job) {
  const std::string id = job->sequence.id;
  const std::string& model = job->model->name;
  if (id.empty() || id == "0") {
    Refuse(job, Invalid("inference request to model '" + model +
                        "' must specify a non-zero or non-empty correlation ID (sequence_id)"));
    return;
  }
  Status refusal;
  std::vector<JobPtr> steps;
  {
    const std::scoped_lock lock(mutex_);
    const Clock::time_point now = Clock::now();
    DropIdle(now);
    SequencePtr sequence;
    std::vector<SequencePtr> runnable;
    const auto found = sequences_.find(id);
    if (found != sequences_.end()) sequence = found->second;
    if ((sequence == nullptr || sequence->ended) && !job->sequence.start) {
      refusal = Invalid("inference request for sequence " + id + " to model '" + model +
                        "' must specify the START flag on the first request of the sequence");
    } else if (waiting_ >= settings_.most_waiting) {
      refusal = Unavailable("the queue of model '" + model + "' is full");
    } else {
      if (sequence == nullptr) {
        sequence = std::make_shared<Sequence>();
        sequence->id = id;
        sequences_[id] = sequence;
        backlog_.push_back(sequence);
      }
      sequence->last_used = now;
      sequence->ended = job->sequence.end;
      sequence->jobs.push_back(std::move(job));
      ++waiting_;
      if (sequence->placed) runnable.push_back(sequence);
    }
    steps = NextSteps(std::move(runnable));  // also where idle ones have made room for others
    Watch();
  }
  if (!refusal.ok()) Refuse(job, std::move(refusal));
  for (JobPtr& step : steps) below_->Submit(std::move(step));
}

JobPtr SequenceCore::NextStep(const SequencePtr& sequence) {
  if (sequence->running || sequence->jobs.empty()) return nullptr;
  const JobPtr outer = std::move(sequence->jobs.front());
  sequence->jobs.pop_front();
  --waiting_;
  sequence->running = true;
  if (outer->sequence.start) sequence->states.clear();
  const ServedModel& model = *outer->model;
  auto step = std::make_shared<SequenceStep>(shared_from_this(), sequence, outer);
  step->model = outer->model;
  step->rows = outer->rows;
  step->priority = outer->priority;
  step->timeout_us = outer->timeout_us;
  step->times = outer->times;
  step->origin = outer;
  const bool batched = model.max_batch > 0;
  step->inputs.resize(model.core_inputs.size());
  // The client's inputs are in the order of the model's visible ports, which is the core's.
  size_t visible = 0;
  for (size_t i = 0; i < model.core_inputs.size(); ++i) {
    if (visible < outer->inputs.size() &&
        outer->inputs[visible].name == model.core_inputs[i].name) {
      step->inputs[i] = outer->inputs[visible++];
    }
  }
  const auto set = [&](size_t port, DType dtype, const std::vector<int64_t>& dims,
                       std::string bytes) {
    InferInput& input = step->inputs[port];
    input.name = model.core_inputs[port].name;
    input.dtype = dtype;
    std::vector<int64_t> all = dims;
    if (batched) all.insert(all.begin(), outer->rows);
    input.dims = MakeDims(all);
    const auto owner = std::make_shared<const std::string>(std::move(bytes));
    input.bytes = std::as_bytes(std::span<const char>(owner->data(), owner->size()));
    input.owner = owner;
  };
  for (const ControlInput& control : settings_.controls) {
    std::string element;
    switch (control.kind) {
      case ControlInput::Kind::kStart:
        element = outer->sequence.start ? control.on : control.off;
        break;
      case ControlInput::Kind::kEnd:
        element = outer->sequence.end ? control.on : control.off;
        break;
      case ControlInput::Kind::kReady:
        element = control.on;
        break;
      case ControlInput::Kind::kCorrelation:
        if (control.dtype == DType::kString) {
          AppendBytesElement(outer->sequence.id, element);
        } else {
          const uint64_t number = outer->sequence.number;
          element.assign(reinterpret_cast<const char*>(&number), ItemSize(control.dtype));
        }
        break;
    }
    set(control.port, control.dtype, {1}, Repeat(element, outer->rows));
  }
  for (size_t s = 0; s < settings_.states.size(); ++s) {
    const SequenceState& state = settings_.states[s];
    if (sequence->states.empty()) {
      set(state.input, state.dtype, state.dims, Repeat(state.initial, batched ? outer->rows : 1));
      continue;
    }
    const Value& value = sequence->states[s];
    InferInput& input = step->inputs[state.input];
    input.name = model.core_inputs[state.input].name;
    input.dtype = value.dtype;
    input.dims = MakeDims(value.dims);
    input.bytes = value.bytes;
    input.owner = value.owner;
  }
  return step;
}

void SequenceCore::Completed(const SequencePtr& sequence, const JobPtr& outer, InferJob& step) {
  outer->status = step.status;
  outer->times = step.times;
  const ServedModel& model = *outer->model;
  std::vector<JobPtr> steps;
  std::vector<Value> states;
  if (step.status.ok()) {
    for (const SequenceState& state : settings_.states) {
      const InferOutput& output = step.outputs[state.output];
      // A copy: what the output belongs to is a whole batch.
      const std::shared_ptr<std::byte> copy = AllocateBytes(output.bytes.size());
      std::copy(output.bytes.begin(), output.bytes.end(), copy.get());
      states.push_back({output.dtype, output.dims, {copy.get(), output.bytes.size()}, copy});
    }
    for (InferOutput& output : step.outputs) {
      if (model.FindOutput(output.name) == nullptr) continue;
      const WantedOutput* wanted = nullptr;
      for (const WantedOutput& one : outer->wanted) {
        if (one.name == output.name) wanted = &one;
      }
      if (wanted == nullptr && !outer->wanted.empty()) continue;
      output.wanted = wanted;
      outer->outputs.push_back(std::move(output));
    }
  }
  {
    const std::scoped_lock lock(mutex_);
    sequence->running = false;
    sequence->last_used = Clock::now();
    if (step.status.ok()) sequence->states = std::move(states);
    std::vector<SequencePtr> runnable = {sequence};
    if (outer->sequence.end && sequence->jobs.empty()) {
      const auto found = sequences_.find(sequence->id);
      if (found != sequences_.end() && found->second == sequence) sequences_.erase(found);
      if (sequence->placed) --placed_;
      runnable.clear();
    }
    DropIdle(Clock::now());
    steps = NextSteps(std::move(runnable));
  }
  // The answer comes first: the next request of the sequence may be computed at once.
  outer->Finish();
  for (JobPtr& next : steps) below_->Submit(std::move(next));
}

SequenceScheduler::SequenceScheduler(SequenceSettings settings, std::unique_ptr<Scheduler> below)
    : core_(std::make_shared<SequenceCore>(std::move(settings), std::move(below))) {}

SequenceScheduler::~SequenceScheduler() {
  core_->Stop();
}

void SequenceScheduler::Submit(JobPtr job) {
  core_->Submit(std::move(job));
}

int64_t SequenceScheduler::queued() const {
  return core_->queued();
}

}  // namespace ingot::serve
