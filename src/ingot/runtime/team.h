// Team: the threads that may share the work of one kernel; SharedKernel: a kernel that lets them.
#pragma once

#include <cstddef>
#include <span>

#include "ingot/runtime/kernel.h"

namespace ingot::runtime {

// The threads that may share the work of one kernel: the one that calls it and helpers.
class Team {
 public:
  virtual ~Team() = default;
  virtual size_t threads() const = 0;

  // Calls body(index, thread) for every index < count, by several threads, and returns when all are
  // done. thread < threads(): calls with one thread do not overlap. Allocates nothing. Throws what
  // the first body that failed threw.
  template <typename Function>
  void ForEach(size_t count, const Function& body) {
    Run(
        count,
        [](const void* context, size_t index, size_t thread) {
          (*static_cast<const Function*>(context))(index, thread);
        },
        &body);
  }

 protected:
  using Body = void (*)(const void* context, size_t index, size_t thread);
  virtual void Run(size_t count, Body body, const void* context) = 0;
};

// The caller alone.
class NoTeam final : public Team {
 public:
  size_t threads() const override { return 1; }

 protected:
  void Run(size_t count, Body body, const void* context) override {
    for (size_t i = 0; i < count; ++i) body(context, i, 0);
  }
};

// A kernel whose work several threads may share. The result does not depend on how many they are.
class SharedKernel : public Kernel {
 public:
  // Thread t of the team has the scratch_bytes() bytes at scratch + t * scratch_stride.
  virtual void RunShared(std::span<void* const> operands, std::byte* scratch, size_t scratch_stride,
                         Team& team) const = 0;
};

}  // namespace ingot::runtime
