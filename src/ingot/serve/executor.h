// Executor: the event loop that a thread runs, as the rooms' schedulers see it: a place to which
// work can be handed, which runs after what is ready already.
#pragma once

#include <functional>
#include <utility>

namespace ingot::serve {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` on the executor's thread, after what is already ready there. From any thread.
  virtual void Post(std::function<void()> work) = 0;
  // The same, but at once where this is the executor's thread.
  template <typename Work>
  void Dispatch(Work work) {
    if (Current() == this) {
      work();
    } else {
      Post(std::move(work));
    }
  }
  int index() const { return index_; }

  // The executor whose thread this is; null on other threads.
  static Executor* Current() { return current_; }

 protected:
  explicit Executor(int index) : index_(index) {}
  static void SetCurrent(Executor* executor) { current_ = executor; }

 private:
  inline static thread_local Executor* current_ = nullptr;
  const int index_;
};

// At most so many executors.
inline constexpr int kMaxExecutors = 64;

}  // namespace ingot::serve
