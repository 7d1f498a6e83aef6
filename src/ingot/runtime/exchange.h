// Exchange: what the processes that share a step give each other in its middle. The engine calls it
// for the tasks of kind kExchange; room dist has the implementation and makes programs with such
// tasks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::runtime {

struct SlotValue;  // step_program.h

// Values of the step at hand, as the tasks that are done have left them.
class StepValues {
 public:
  virtual ~StepValues() = default;
  // The rows of a shard, where later tasks look for them.
  virtual std::span<std::byte> Rows(const SlotValue& value, int shard) const = 0;
  virtual std::byte* shared() const = 0;
  // A state tensor of the program as it is behind the step's updates.
  virtual std::byte* State(uint32_t index) const = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  // In front of a step's tasks: what the exchanges with these indices, in the order of Run, will
  // want can be asked for now, so that it comes without delay. `shared` is that of Run, which still
  // fails where this could not ask. Not every one of them need run.
  virtual void Expect(std::span<const uint32_t> indices, std::byte* shared) {
    static_cast<void>(indices), static_cast<void>(shared);
  }
  // The exchange `index` (Task::index) of a step, on one thread at a time. `shared` is what all
  // tasks of the step share: what to give lies there, and what came is written there. Returns
  // whether some process has met a number that is not finite; `not_finite`: whether this one has.
  // Throws ExchangeBroken.
  virtual bool Run(uint32_t index, int64_t step, std::byte* shared, bool not_finite) = 0;
  // The transfer `index` of a step whose model is spread over several processes: values go to, and
  // come from, those that hold its other parts. Throws ExchangeBroken.
  virtual void Transfer(uint32_t index, int64_t step, const StepValues& values) {
    static_cast<void>(step), static_cast<void>(values);
    INGOT_ASSERT(false, "no transfer " + std::to_string(index));
  }
  // The gathering `index` of a step of which each process has updated a part of the parameters:
  // afterwards all have the whole. As Run otherwise.
  virtual bool Gather(uint32_t index, int64_t step, const StepValues& values, bool not_finite) {
    static_cast<void>(step), static_cast<void>(values), static_cast<void>(not_finite);
    INGOT_ASSERT(false, "no gathering " + std::to_string(index));
    return false;
  }
};

// The group of processes has changed, or is about to: the step at hand is to be done again.
class ExchangeBroken : public Error {
 public:
  explicit ExchangeBroken(std::string why) : Error(ErrorCode::kIo, std::move(why)) {}
};

}  // namespace ingot::runtime
