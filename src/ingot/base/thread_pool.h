// ThreadPool: threads for work in the background that is not the training step: prefetching,
// writing checkpoints, parsing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace ingot {

// A fixed number of threads that take tasks in the order they were submitted. Waiting costs no CPU.
// Safe for use by several threads. Tasks may submit tasks, but must not wait for them (ParallelFor
// may be called from a task).
class ThreadPool {
 public:
  // With 0 threads every task runs at once in the thread that submits it. Throws
  // Error(kOutOfMemory) where the system has no more threads.
  explicit ThreadPool(size_t threads);
  // Runs what was submitted, then joins.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t size() const { return threads_.size(); }

  // Runs `function()` on a thread of the pool; what it returns or throws is in the future.
  template <typename Function>
  auto Submit(Function function) -> std::future<std::invoke_result_t<Function&>> {
    using Result = std::invoke_result_t<Function&>;
    // Shared, because std::function has to be copyable.
    auto task = std::make_shared<std::packaged_task<Result()>>(std::move(function));
    std::future<Result> result = task->get_future();
    Post([task] { (*task)(); });
    return result;
  }

  // Calls function(0) ... function(n - 1), each once, in this thread and those of the pool, and
  // returns when all are done. Where some throw, no further index is begun and the exception of the
  // lowest index is thrown (the same one whatever the threads do).
  void ParallelFor(size_t n, const std::function<void(size_t)>& function);

 private:
  void Post(std::function<void()> task);  // must not throw
  void Run();
  void Stop();

  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ingot
