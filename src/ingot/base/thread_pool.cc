// Worker threads, their queue, and parallel loops in which the caller helps.
#include "ingot/base/thread_pool.h"

#include <algorithm>
#include <exception>
#include <string>
#include <system_error>

#include <pthread.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

// What the threads of one ParallelFor share. Helpers that come when all is done find `closed` and
// never touch `function`, which then is gone.
struct Loop {
  std::mutex mutex;
  std::condition_variable idle;
  const std::function<void(size_t)>* function = nullptr;
  size_t n = 0;
  size_t next = 0;
  size_t helpers = 0;  // now at work
  bool closed = false;
  std::exception_ptr error;
  size_t error_index = 0;

  bool Claim(size_t& index) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (next >= n) return false;
    index = next++;
    return true;
  }

  // Indices are claimed in order, so that every one below a failing one was begun, and the lowest
  // that fails is always found.
  void Work() {
    for (size_t index = 0; Claim(index);) {
      try {
        (*function)(index);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!error || index < error_index) {
          error = std::current_exception();
          error_index = index;
        }
        next = n;
      }
    }
  }

  void Help() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (closed) return;
      ++helpers;
    }
    Work();
    const std::lock_guard<std::mutex> lock(mutex);
    if (--helpers == 0) idle.notify_one();
  }

  void Finish() {
    std::unique_lock<std::mutex> lock(mutex);
    closed = true;
    idle.wait(lock, [this] { return helpers == 0; });
  }
};

}  // namespace

ThreadPool::ThreadPool(size_t threads) {
  try {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  } catch (const std::system_error& error) {
    const size_t started = threads_.size();
    Stop();
    throw Error(ErrorCode::kOutOfMemory,
                "cannot start thread " + std::to_string(started + 1) + " of " +
                    std::to_string(threads) + ": " + error.code().message(),
                "use fewer threads, or raise the limit on processes (ulimit -u)");
  }
}

ThreadPool::~ThreadPool() {
  Stop();
}

void ThreadPool::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  has_work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Post(std::function<void()> task) {
  if (threads_.empty()) return task();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  has_work_.notify_one();
}

void ThreadPool::Run() {
  ::pthread_setname_np(::pthread_self(), "ingot-pool");
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      has_work_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

void ThreadPool::ParallelFor(size_t n, const std::function<void(size_t)>& function) {
  if (n == 0) return;
  auto loop = std::make_shared<Loop>();
  loop->function = &function;
  loop->n = n;
  const size_t helpers = std::min(n - 1, threads_.size());
  for (size_t i = 0; i < helpers; ++i) Post([loop] { loop->Help(); });
  loop->Work();
  loop->Finish();
  // A helper may still hold the loop: the error is the caller's alone before it is thrown.
  if (const std::exception_ptr error = std::move(loop->error)) std::rethrow_exception(error);
}

}  // namespace ingot
