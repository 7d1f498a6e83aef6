// A bounded window of batches that moves with the step that is asked for.
#include "ingot/data/prefetch.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "ingot/base/clock.h"
#include "ingot/base/error.h"
#include "ingot/tensor/tensor.h"

namespace ingot::data {

class Prefetcher::State {
 public:
  State(std::shared_ptr<const Batches> batches, int depth, int threads)
      : batches_(std::move(batches)), slots_(static_cast<size_t>(depth)) {
    INGOT_ASSERT(depth >= 2 && threads >= 1, "a window of at least two batches");
    for (Slot& slot : slots_) {
      for (const Field& field : batches_->outputs()) {
        slot.buffers.push_back(
            AllocateBytes(static_cast<size_t>(batches_->batch()) * field.bytes()));
        slot.pointers.push_back(slot.buffers.back().get());
      }
    }
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Fill(int64_t step, int64_t first_sample, int64_t count, std::span<void* const> inputs) {
    Slot* slot = Acquire(step);
    if (slot == nullptr) {
      batches_->Fill(step, first_sample, count, inputs);
      return;
    }
    // The slot is held by this reader: no thread writes to it until it is released.
    const std::exception_ptr error = slot->error;
    for (size_t i = 0; i < inputs.size() && !error; ++i) {
      const size_t row = batches_->outputs()[i].bytes();
      std::memcpy(inputs[i], slot->buffers[i].get() + static_cast<size_t>(first_sample) * row,
                  static_cast<size_t>(count) * row);
    }
    Release(slot);
    if (error) std::rethrow_exception(error);
  }

  int64_t assembled() const {
    const std::lock_guard lock(mutex_);
    return assembled_;
  }

  double waited_seconds() const {
    const std::lock_guard lock(mutex_);
    return static_cast<double>(waited_) * 1e-9;
  }

 private:
  struct Slot {
    int64_t step = -1;     // what it holds or is being filled with; -1: nothing
    bool ready = false;    // filled
    bool filling = false;  // by a thread, now
    int readers = 0;
    std::exception_ptr error;
    std::vector<std::shared_ptr<std::byte>> buffers;
    std::vector<void*> pointers;
  };

  int64_t depth() const { return static_cast<int64_t>(slots_.size()); }
  Slot& SlotOf(int64_t step) { return slots_[static_cast<size_t>(step % depth())]; }
  bool InWindow(int64_t step) const {
    return begin_ >= 0 && step >= begin_ && step < begin_ + depth();
  }

  // Moves the window where `step` calls for it; false where the caller should assemble it itself.
  // With the lock held.
  bool MoveFor(int64_t step) {
    const int64_t before = begin_;
    if (begin_ < 0 || step >= begin_ + depth()) {
      begin_ = step;
    } else if (step < begin_) {
      // A stalled worker asks for one past step; a run that begins again asks for the next one too.
      const bool begins_again = step == last_past_ + 1;
      last_past_ = step;
      if (!begins_again) return false;
      begin_ = step;
    } else if (step > begin_ + 1) {
      begin_ = step - 1;  // workers of the step before may still be reading
    }
    if (begin_ != before) {
      work_.notify_all();
      ready_.notify_all();
    }
    return true;
  }

  // The slot that holds `step`, with this caller as reader; null where the step is long past.
  Slot* Acquire(int64_t step) {
    std::unique_lock lock(mutex_);
    if (!MoveFor(step)) return nullptr;
    Slot& slot = SlotOf(step);
    const auto there = [&] { return slot.step == step && slot.ready; };
    if (!there()) {
      const int64_t begin = MonotonicNanoseconds();
      ready_.wait(lock, [&] { return there() || !InWindow(step); });
      waited_ += MonotonicNanoseconds() - begin;
    }
    if (!there()) return nullptr;  // the window moved on meanwhile
    ++slot.readers;
    return &slot;
  }

  void Release(Slot* slot) {
    {
      const std::lock_guard lock(mutex_);
      --slot->readers;
    }
    work_.notify_all();
  }

  // The first step of the window that nobody has assembled, when its slot is free; else null.
  // With the lock held.
  Slot* Claim() {
    for (int64_t step = begin_; InWindow(step); ++step) {
      Slot& slot = SlotOf(step);
      if (slot.step == step && (slot.ready || slot.filling)) continue;
      if (slot.filling || slot.readers > 0) continue;
      slot.step = step;
      slot.ready = false;
      slot.filling = true;
      slot.error = nullptr;
      return &slot;
    }
    return nullptr;
  }

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Slot* slot = nullptr;
      work_.wait(lock, [&] { return stop_ || (slot = Claim()) != nullptr; });
      if (stop_) return;
      const int64_t step = slot->step;
      lock.unlock();
      std::exception_ptr error;
      try {
        batches_->Fill(step, 0, batches_->BatchOf(step), slot->pointers);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      slot->error = error;
      slot->filling = false;
      slot->ready = true;
      ++assembled_;
      ready_.notify_all();
      work_.notify_one();
    }
  }

  const std::shared_ptr<const Batches> batches_;
  mutable std::mutex mutex_;
  std::condition_variable work_;   // something to assemble, or the end
  std::condition_variable ready_;  // something was assembled, or the window moved
  std::vector<Slot> slots_;
  int64_t begin_ = -1;      // the window is [begin_, begin_ + depth()); -1: nothing was asked for
  int64_t last_past_ = -2;  // the last step asked for that lay before the window
  int64_t assembled_ = 0;
  int64_t waited_ = 0;  // nanoseconds of all callers
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

Prefetcher::Prefetcher(std::shared_ptr<const Batches> batches, int depth, int threads)
    : state_(std::make_unique<State>(std::move(batches), depth, threads)) {}

Prefetcher::~Prefetcher() = default;

void Prefetcher::Fill(int64_t step, int64_t first_sample, int64_t count,
                      std::span<void* const> inputs) const {
  state_->Fill(step, first_sample, count, inputs);
}

int64_t Prefetcher::assembled() const {
  return state_->assembled();
}

double Prefetcher::waited_seconds() const {
  return state_->waited_seconds();
}

}  // namespace ingot::data
