// Watchers: who wants to hear that the state of the server may have changed: models were loaded or
// unloaded, or it drains. Nothing runs while nothing changes.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "ingot/serve/executor.h"

namespace ingot::serve {

// Safe for use by several threads.
class Watchers {
 public:
  using Function = std::function<void()>;

  // Calls `function` on the executor after each Notify, for as long as the caller holds it. The
  // executor outlives that.
  void Add(Executor& executor, const std::shared_ptr<const Function>& function) {
    const std::scoped_lock lock(mutex_);
    DropGone();
    watchers_.push_back({&executor, function});
  }
  // After the change.
  void Notify() {
    const std::scoped_lock lock(mutex_);
    DropGone();
    for (const Watcher& watcher : watchers_) {
      watcher.executor->Post([weak = watcher.function] {
        if (const auto function = weak.lock()) (*function)();
      });
    }
  }
  // Those that were there at the last Add or Notify.
  size_t size() const {
    const std::scoped_lock lock(mutex_);
    return watchers_.size();
  }

 private:
  struct Watcher {
    Executor* executor;
    std::weak_ptr<const Function> function;
  };

  void DropGone() {
    std::erase_if(watchers_, [](const Watcher& watcher) { return watcher.function.expired(); });
  }

  mutable std::mutex mutex_;
  std::vector<Watcher> watchers_;
};

}  // namespace ingot::serve
