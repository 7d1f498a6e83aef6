// The protocol of StepEngine. One atomic word, the control, says which stage of which step is open,
// in which frame, reading which version of the parameters. Threads claim the tasks of that stage;
// the one that publishes the last of them opens the next stage or step. A thread announces (pins)
// the frame and version it works with before it touches either, and looks again whether they are
// still current; frames and versions are reused only when unpinned.
// Over 500 lines, since the protocol is one thing.
#include "ingot/runtime/step_engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "ingot/base/error.h"
#include "ingot/runtime/engine_memory.h"
#include "ingot/runtime/exchange.h"
#include "ingot/runtime/flush_denormals.h"
#include "ingot/runtime/frame_values.h"
#include "ingot/runtime/futex.h"
#include "ingot/runtime/step_control.h"
#include "ingot/runtime/task_runner.h"

namespace ingot::runtime {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A thread without work looks at the control this long before it sleeps; a task that takes longer
// than usual by this much is taken over.
constexpr double kSpinSeconds = 20e-6;
constexpr double kPatienceSeconds = 10e-6;
constexpr int64_t kSleepNanoseconds = 2'000'000;
constexpr size_t kMostScalars = 16;

bool IsExchange(const Task& task) {
  return task.kind == Task::Kind::kExchange || task.kind == Task::Kind::kTransfer ||
         task.kind == Task::Kind::kGather;
}

}  // namespace

class StepEngine::Implementation {
 public:
  Implementation(std::vector<std::shared_ptr<const StepProgram>> programs, int threads)
      : programs_(std::move(programs)),
        owned_memory_(std::make_shared<EngineMemory>(programs_, threads)),
        memory_(*owned_memory_),
        runner_(memory_, threads),
        pins_(threads),
        workers_(static_cast<size_t>(threads)) {
    CheckStages();
    for (int i = 1; i < threads; ++i) {
      threads_.emplace_back([this, i] { Serve(i); });
    }
  }

  void CheckStages() {
    size_t stages = 0;
    for (const auto& program : programs_) stages = std::max(stages, program->stages.size());
    if (stages > kMostStages) {
      throw Error(ErrorCode::kUnsupported,
                  "the step has " + std::to_string(stages) + " stages, at most " +
                      std::to_string(kMostStages) + " can be run",
                  "use fewer layers whose statistics are those of the whole batch");
    }
    for (Worker& worker : workers_) worker.task_seconds.assign(stages, 0);
  }

  void ReplacePrograms(std::vector<std::shared_ptr<const StepProgram>> programs) {
    programs_ = std::move(programs);
    memory_.Replace(programs_, threads());
    rows_ = {};
    CheckStages();
  }

  ~Implementation() {
    closing_.store(true);
    run_epoch_.fetch_add(1);
    FutexWakeAll(run_epoch_);
    for (std::thread& thread : threads_) thread.join();
  }

  StepResult Run(const StepRequest& request);

  // Between runs alone: no thread reads or writes states then.
  std::byte* StatePointer(uint32_t index) { return memory_.State(index, version_); }
  std::shared_ptr<std::byte> SharedState(uint32_t index) {
    return {owned_memory_, StatePointer(index)};
  }
  const EngineMemory& memory() const { return memory_; }
  int threads() const { return static_cast<int>(workers_.size()); }
  EngineCounters counters() const;

 private:
  // Written by its own thread alone; a line of its own.
  struct alignas(128) Worker {
    std::atomic<int64_t> tasks = 0;
    std::atomic<int64_t> takeovers = 0;
    std::atomic<int64_t> discarded = 0;
    std::atomic<int64_t> sleeps = 0;
    // Of the stage that `stage_word` announced.
    uint64_t stage_word = 0;
    int cursor = 0;       // of Claim
    int done_cursor = 0;  // of AllDone
    int tasks_here = 0;
    double stage_began = 0;
    double stage_longest = 0;          // task of this stage
    std::vector<double> task_seconds;  // usual length of the longest task of each stage
  };

  void Serve(int thread);
  void Work(int thread);
  bool DoTask(int thread, Control control);
  void RunShardTask(int thread, Control control, int task, uint32_t slot, bool takeover);
  void RunCommittedTask(int thread, Control control, int task, bool takeover);
  void RunExchange(int thread, Control control, int task);
  void Wait(int thread, Control control);
  void Sleep(int thread, Control control);
  bool TryTakeOver(int thread, Control control);
  bool TryFinishStage(int thread, Control control);
  static void CountTask(Worker& worker, bool takeover);

  void OpenStep(Control from, int64_t step, int version, int thread);
  void OpenNextStage(Control control, int thread);
  void FinishStep(Control control, int thread);
  void FinishRun(Control from, int64_t next_step, int version);
  bool Announce(Control from, Control to);
  void Fail(Control control);
  const std::vector<Task>& TasksOf(Control control) {
    return ProgramOf(memory_.frame(control.frame())).stages[control.index()].tasks;
  }
  Frame::StageBoard& BoardOf(Control control) {
    return *memory_.frame(control.frame()).stages[control.index()];
  }
  const StepProgram& ProgramOf(const Frame& frame) const {
    return *programs_[static_cast<size_t>(frame.program)];
  }
  Control Now() const { return {control_.load(std::memory_order_seq_cst)}; }

  std::vector<std::shared_ptr<const StepProgram>> programs_;
  const std::shared_ptr<EngineMemory> owned_memory_;  // views of states keep it
  EngineMemory& memory_;
  TaskRunner runner_;
  Pins pins_;
  std::vector<Worker> workers_;
  std::vector<std::thread> threads_;

  alignas(128) std::atomic<uint64_t> control_ = 0;
  alignas(128) std::atomic<uint64_t> opened_ = 0;  // the stage whose end a thread has taken on
  alignas(128) std::atomic<uint32_t> control_epoch_ = 0;  // changes with the control, for futexes
  std::atomic<int> sleepers_ = 0;
  alignas(128) std::atomic<uint32_t> run_epoch_ = 0;
  std::atomic<uint32_t> working_ = 0;  // workers inside a run
  std::atomic<bool> closing_ = false;

  // Of the run at hand; changed by the thread that opens stages, or between runs.
  const StepRequest* request_ = nullptr;
  StepResult result_;
  int version_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  RowGathering rows_;
  std::atomic<int64_t> steps_done_ = 0;
};

StepResult StepEngine::Implementation::Run(const StepRequest& request) {
  if (request.count <= 0) return {.next_step = request.first_step};
  request_ = &request;
  error_ = nullptr;
  result_ = {};
  if (request.on_rows) rows_.Prepare(programs_);
  working_.store(static_cast<uint32_t>(workers_.size()) - 1);
  OpenStep(Now(), request.first_step, version_, 0);
  run_epoch_.fetch_add(1);
  FutexWakeAll(run_epoch_);
  Work(0);
  // The source and the callbacks may go away when this returns, so wait for threads that are still
  // busy with what was done without them.
  for (uint32_t left = working_.load(); left > 0; left = working_.load()) {
    FutexWait(working_, left, 0);
  }
  request_ = nullptr;
  if (error_) std::rethrow_exception(error_);
  return result_;
}

// A worker thread's life: asleep between runs.
void StepEngine::Implementation::Serve(int thread) {
  uint32_t seen = 0;
  while (true) {
    uint32_t epoch = run_epoch_.load();
    while (epoch == seen && !closing_.load()) {
      FutexWait(run_epoch_, epoch, 0);
      epoch = run_epoch_.load();
    }
    if (closing_.load()) return;
    seen = epoch;
    Work(thread);
    if (working_.fetch_sub(1) == 1) FutexWakeAll(working_);
  }
}

void StepEngine::Implementation::Work(int thread) {
  const FlushDenormals flush;
  Worker& worker = workers_[static_cast<size_t>(thread)];
  while (true) {
    const Control control = Now();
    if (control.stage() == kIdle) break;
    pins_.SetBusy(thread, control);
    if (Now().word != control.word) continue;
    if (worker.stage_word != control.word) {
      worker.stage_word = control.word;
      worker.cursor = 0;
      worker.done_cursor = 0;
      worker.tasks_here = 0;
      worker.stage_began = Seconds();
      worker.stage_longest = 0;
    }
    try {
      if (DoTask(thread, control)) continue;
      pins_.SetIdle(thread, control);
      if (worker.tasks_here > 0) {
        double& usual = worker.task_seconds[control.index()];
        const double longest = worker.stage_longest;
        usual = usual == 0 ? longest : 0.75 * usual + 0.25 * std::min(longest, 4 * usual);
      }
      Wait(thread, control);
    } catch (...) {
      {
        const std::lock_guard lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
      }
      Fail(control);
      break;
    }
  }
  pins_.Clear(thread);
}

bool StepEngine::Implementation::DoTask(int thread, Control control) {
  Worker& worker = workers_[static_cast<size_t>(thread)];
  const std::vector<Task>& tasks = TasksOf(control);
  const int count = static_cast<int>(tasks.size());
  // Long tasks come first: all threads begin among those.
  int leading = 0;
  while (leading < count && tasks[static_cast<size_t>(leading)].kind == tasks[0].kind) ++leading;
  const int start = static_cast<int>(static_cast<int64_t>(thread) * leading / threads());
  const int task = BoardOf(control).board.Claim(control.sequence(), count, start, worker.cursor);
  if (task < 0) return false;
  if (tasks[static_cast<size_t>(task)].kind == Task::Kind::kShard) {
    RunShardTask(thread, control, task, 0, false);
  } else if (IsExchange(tasks[static_cast<size_t>(task)])) {
    RunExchange(thread, control, task);
  } else {
    RunCommittedTask(thread, control, task, false);
  }
  const double now = Seconds();
  worker.stage_longest = std::max(worker.stage_longest, now - worker.stage_began);
  worker.stage_began = now;
  return true;
}

void StepEngine::Implementation::RunShardTask(int thread, Control control, int task, uint32_t slot,
                                              bool takeover) {
  Worker& worker = workers_[static_cast<size_t>(thread)];
  Frame& frame = memory_.frame(control.frame());
  const Task& what = TasksOf(control)[static_cast<size_t>(task)];
  const int shard = static_cast<int>(what.begin);
  const bool whole = runner_.RunShard(
      ProgramOf(frame), frame, control.version(), what.index, shard,
      frame.parts[what.index].Slot(shard, slot), thread, request_->source, request_->seed, [&] {
        if (request_->broken != nullptr && request_->broken->load(std::memory_order_relaxed)) {
          throw ExchangeBroken("the group of processes changes");
        }
        return Now().word != control.word ||
               opened_.load(std::memory_order_relaxed) >= control.place();
      });
  if (!whole || !BoardOf(control).board.Publish(control.sequence(), task, slot)) {
    worker.discarded.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  CountTask(worker, takeover);
}

void StepEngine::Implementation::RunCommittedTask(int thread, Control control, int task,
                                                  bool takeover) {
  Worker& worker = workers_[static_cast<size_t>(thread)];
  Frame& frame = memory_.frame(control.frame());
  const StepProgram& program = ProgramOf(frame);
  const Task& what = TasksOf(control)[static_cast<size_t>(task)];
  TaskBoard& board = BoardOf(control).board;
  const bool alone =
      what.kind == Task::Kind::kJoint && program.joints[what.index].reads_what_changes;
  if (!alone) runner_.Compute(program, frame, control.version(), what, thread);
  if (!board.BeginCommit(control.sequence(), task)) {
    worker.discarded.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (alone) runner_.Compute(program, frame, control.version(), what, thread);
  runner_.Commit(program, frame, control.version(), what, thread);
  board.EndCommit(control.sequence(), task);
  CountTask(worker, takeover);
}

// What goes over a wire goes once: whoever commits does it, so that nobody takes it over then.
void StepEngine::Implementation::RunExchange(int thread, Control control, int task) {
  Frame& frame = memory_.frame(control.frame());
  TaskBoard& board = BoardOf(control).board;
  if (!board.BeginCommit(control.sequence(), task)) return;
  const Task& what = TasksOf(control)[static_cast<size_t>(task)];
  const FrameValues values(ProgramOf(frame), frame, memory_);
  bool not_finite = frame.not_finite.load(std::memory_order_relaxed);
  if (what.kind == Task::Kind::kTransfer) {
    request_->exchange->Transfer(what.index, frame.step, values);
  } else if (what.kind == Task::Kind::kGather) {
    not_finite = request_->exchange->Gather(what.index, frame.step, values, not_finite);
  } else {
    not_finite = request_->exchange->Run(what.index, frame.step, frame.shared.data(), not_finite);
  }
  if (not_finite) frame.not_finite.store(true, std::memory_order_relaxed);
  board.EndCommit(control.sequence(), task);
  CountTask(workers_[static_cast<size_t>(thread)], false);
}

void StepEngine::Implementation::CountTask(Worker& worker, bool takeover) {
  // Its own thread alone writes these, so no locked instruction is needed.
  worker.tasks.store(worker.tasks.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  ++worker.tasks_here;
  if (takeover) worker.takeovers.fetch_add(1, std::memory_order_relaxed);
}

// Opens what comes next when every task of the stage is done. Of the threads that see it, one does.
// A counter of tasks left would be one more line that goes from core to core with every task.
bool StepEngine::Implementation::TryFinishStage(int thread, Control control) {
  Worker& worker = workers_[static_cast<size_t>(thread)];
  const int count = static_cast<int>(TasksOf(control).size());
  if (!BoardOf(control).board.AllDone(control.sequence(), count, worker.done_cursor)) return false;
  uint64_t last = opened_.load(std::memory_order_relaxed);
  const uint64_t mine = control.place();
  if (last >= mine || !opened_.compare_exchange_strong(last, mine, std::memory_order_acq_rel)) {
    return false;
  }
  OpenNextStage(control, thread);
  return true;
}

// Every task of the stage is claimed: wait until they are done, first awake, then asleep; what
// takes the others longer than a task should is computed here instead.
void StepEngine::Implementation::Wait(int thread, Control control) {
  Worker& worker = workers_[static_cast<size_t>(thread)];
  const double began = Seconds();
  const double patience = kPatienceSeconds + 1.25 * worker.task_seconds[control.index()];
  while (Now().word == control.word) {
    for (int i = 0; i < 16; ++i) {
      if (TryFinishStage(thread, control)) return;
      PauseSpin();
      if (Now().word != control.word) return;
    }
    const double waited = Seconds() - began;
    if (waited < patience) continue;
    // Before it claims anything, so that whoever sees the task done sees this too.
    pins_.SetBusy(thread, control);
    if (TryTakeOver(thread, control)) return;
    pins_.SetIdle(thread, control);
    if (waited < patience + kSpinSeconds) continue;
    Sleep(thread, control);
    return;
  }
}

void StepEngine::Implementation::Sleep(int thread, Control control) {
  const uint32_t epoch = control_epoch_.load();
  pins_.Clear(thread);
  sleepers_.fetch_add(1);
  if (Now().word == control.word) {
    FutexWait(control_epoch_, epoch, kSleepNanoseconds);
    workers_[static_cast<size_t>(thread)].sleeps.fetch_add(1, std::memory_order_relaxed);
  }
  sleepers_.fetch_sub(1);
}

bool StepEngine::Implementation::TryTakeOver(int thread, Control control) {
  Frame& frame = memory_.frame(control.frame());
  const std::vector<Task>& tasks = TasksOf(control);
  Frame::StageBoard& stage = BoardOf(control);
  const bool has_shards = tasks[0].kind == Task::Kind::kShard;
  if (has_shards && (ProgramOf(frame).stages[control.index()].shares_slots ||
                     stage.spares_used.load(std::memory_order_relaxed) >= frame.spare_slots)) {
    return false;
  }
  const int task = stage.board.TakeOver(control.sequence(), static_cast<int>(tasks.size()));
  if (task < 0) return false;
  if (IsExchange(tasks[static_cast<size_t>(task)])) {
    RunExchange(thread, control, task);
    return true;
  }
  if (tasks[static_cast<size_t>(task)].kind != Task::Kind::kShard) {
    RunCommittedTask(thread, control, task, true);
    return true;
  }
  const uint32_t spare = stage.spares_used.fetch_add(1, std::memory_order_relaxed) + 1;
  if (spare > frame.spare_slots) return false;
  RunShardTask(thread, control, task, spare, true);
  return true;
}

// Moves the control on; false where an error has ended the run meanwhile.
bool StepEngine::Implementation::Announce(Control from, Control to) {
  if (!control_.compare_exchange_strong(from.word, to.word, std::memory_order_seq_cst))
    return false;
  control_epoch_.fetch_add(1);
  if (sleepers_.load() > 0) FutexWakeAll(control_epoch_);
  return true;
}

void StepEngine::Implementation::OpenStep(Control from, int64_t step, int version, int thread) {
  const int index = pins_.FreeFrame(memory_.frame_count(), from.frame(), thread);
  if (memory_.frames_share_slots()) pins_.WaitForBusy(thread);
  Frame& frame = memory_.frame(index);
  frame.program = request_->program_of_step ? request_->program_of_step(step) : 0;
  frame.step = step;
  const StepProgram& program = ProgramOf(frame);
  frame.not_finite.store(false, std::memory_order_relaxed);
  for (const auto& stage : frame.stages) stage->spares_used.store(0, std::memory_order_relaxed);
  if (program.has_step) {
    const int64_t updated = std::max<int64_t>(0, step - request_->update_lag);
    const int64_t number = updated / request_->steps_per_update + 1;
    std::memcpy(frame.scalars.data() + program.step_offset, &number, sizeof(number));
  }
  if (!program.scalars.empty() && request_->scalars) {
    float values[kMostScalars] = {};
    const size_t count = program.scalars.size();
    INGOT_ASSERT(count <= kMostScalars, "too many scalar inputs");
    request_->scalars(step, {values, count});
    for (size_t i = 0; i < count; ++i) {
      ConvertElements(&values[i], DType::kF32, frame.scalars.data() + program.scalars[i].offset,
                      program.scalars[i].dtype, 1);
    }
  }
  runner_.Derive(program, frame);
  frame.next_version =
      program.updates ? pins_.FreeVersion(memory_.version_count(), version, thread) : version;
  if (request_->exchange != nullptr) {
    request_->exchange->Expect(program.exchanges, frame.shared.data());
  }
  Announce(from, Control::Make(from.sequence() + 1, index, version, 1));
}

void StepEngine::Implementation::OpenNextStage(Control control, int thread) {
  Frame& frame = memory_.frame(control.frame());
  const StepProgram& program = ProgramOf(frame);
  if (request_->stop_when_not_finite && !program.stages[control.index()].judged_later &&
      frame.not_finite.load(std::memory_order_relaxed)) {
    result_.not_finite = true;
    for (size_t i = 0; i <= control.index(); ++i) {
      result_.state_touched = result_.state_touched || program.stages[i].updates;
    }
    FinishRun(control, frame.step, control.version());
  } else if (control.index() + 1 < program.stages.size()) {
    Announce(control, Control::Make(control.sequence(), control.frame(), control.version(),
                                    control.stage() + 1));
  } else {
    FinishStep(control, thread);
  }
}

void StepEngine::Implementation::FinishStep(Control control, int thread) {
  Frame& frame = memory_.frame(control.frame());
  const StepProgram& program = ProgramOf(frame);
  steps_done_.fetch_add(1, std::memory_order_relaxed);
  if (request_->on_sums) request_->on_sums(frame.step, {frame.sums.data(), program.sums.size()});
  if (request_->on_rows) {
    request_->on_rows(frame.step, rows_.Gather(program, frame));
  }
  const int64_t next = frame.step + 1;
  if (next >= request_->first_step + request_->count) {
    FinishRun(control, next, frame.next_version);
  } else if (request_->should_stop && request_->should_stop()) {
    result_.stopped = true;
    FinishRun(control, next, frame.next_version);
  } else {
    OpenStep(control, next, frame.next_version, thread);
  }
}

// The threads of the run read result_ and version_ only after they have all left it.
void StepEngine::Implementation::FinishRun(Control from, int64_t next_step, int version) {
  if (!Announce(from, Control::Make(from.sequence() + 1, 0, 0, kIdle))) return;
  result_.next_step = next_step;
  version_ = version;
}

// After an error: the step at hand is not done.
void StepEngine::Implementation::Fail(Control control) {
  FinishRun(control, memory_.frame(control.frame()).step, control.version());
}

EngineCounters StepEngine::Implementation::counters() const {
  EngineCounters total;
  total.steps = steps_done_.load();
  for (const Worker& worker : workers_) {
    total.tasks += worker.tasks.load();
    total.takeovers += worker.takeovers.load();
    total.discarded += worker.discarded.load();
    total.sleeps += worker.sleeps.load();
  }
  return total;
}

StepEngine::StepEngine(std::vector<std::shared_ptr<const StepProgram>> programs, int threads) {
  INGOT_ASSERT(!programs.empty(), "an engine needs a program");
  if (threads < 1 || threads > 1024) {
    throw Error(ErrorCode::kInvalidInput,
                "the number of threads is " + std::to_string(threads) + ", expected 1 to 1024");
  }
  implementation_ = std::make_unique<Implementation>(std::move(programs), threads);
}

StepEngine::~StepEngine() = default;

StepResult StepEngine::Run(const StepRequest& request) {
  return implementation_->Run(request);
}

void StepEngine::ReplacePrograms(std::vector<std::shared_ptr<const StepProgram>> programs) {
  implementation_->ReplacePrograms(std::move(programs));
}

std::vector<std::string> StepEngine::StateNames() const {
  std::vector<std::string> names;
  for (const StateTensor& state : implementation_->memory().states()) names.push_back(state.name);
  return names;
}

namespace {

uint32_t FindState(const EngineMemory& memory, const std::string& name) {
  for (uint32_t i = 0; i < memory.states().size(); ++i) {
    if (memory.states()[i].name == name) return i;
  }
  throw Error(ErrorCode::kNotFound, "no parameter or state is called '" + name + "'");
}

}  // namespace

Tensor StepEngine::ReadState(const std::string& name) const {
  const uint32_t index = FindState(implementation_->memory(), name);
  const StateTensor& state = implementation_->memory().states()[index];
  Tensor copy(state.dtype, state.shape);
  std::memcpy(copy.raw(), implementation_->StatePointer(index), copy.bytes());
  return copy;
}

Tensor StepEngine::ViewState(const std::string& name) const {
  const uint32_t index = FindState(implementation_->memory(), name);
  const StateTensor& state = implementation_->memory().states()[index];
  return {state.dtype, state.shape, implementation_->SharedState(index)};
}

void StepEngine::WriteState(const std::string& name, const Tensor& value) {
  const uint32_t index = FindState(implementation_->memory(), name);
  const StateTensor& state = implementation_->memory().states()[index];
  if (value.dtype() != state.dtype || value.shape() != state.shape) {
    throw Error(ErrorCode::kInvalidInput, "'" + name + "' is " + std::string(Name(state.dtype)) +
                                              state.shape.ToString() + ", given was " +
                                              value.Describe());
  }
  std::memcpy(implementation_->StatePointer(index), value.raw(), value.bytes());
}

int StepEngine::threads() const {
  return implementation_->threads();
}
EngineCounters StepEngine::counters() const {
  return implementation_->counters();
}
uint64_t StepEngine::memory_bytes() const {
  return implementation_->memory().bytes();
}

}  // namespace ingot::runtime
