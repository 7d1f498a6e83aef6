// Instrument: measuring wrappers around the kernels of a program, see telemetry.h.
#include <utility>

#include "ingot/runtime/step_program.h"
#include "ingot/runtime/telemetry.h"

namespace ingot::runtime {
namespace {

// What all wrappers share: the kernel inside and where its time goes.
template <typename Base>
class Measured : public Base {
 public:
  Measured(std::shared_ptr<const Base> inside, std::shared_ptr<Telemetry> telemetry, int item)
      : inside_(std::move(inside)), telemetry_(std::move(telemetry)), item_(item) {}
  std::string name() const override { return inside_->name(); }

 protected:
  const Base& inside() const { return *inside_; }
  void Add(uint64_t begin) const { telemetry_->Add(item_, begin, Telemetry::Now()); }

 private:
  std::shared_ptr<const Base> inside_;
  std::shared_ptr<Telemetry> telemetry_;
  int item_;
};

class MeasuredKernel : public Measured<Kernel> {
 public:
  using Measured::Measured;
  void Run(std::span<void* const> operands, std::byte* scratch) const override {
    const uint64_t begin = Telemetry::Now();
    inside().Run(operands, scratch);
    Add(begin);
  }
  size_t scratch_bytes() const override { return inside().scratch_bytes(); }
};

class MeasuredReduce : public Measured<ReduceKernel> {
 public:
  using Measured::Measured;
  void Run(std::span<const std::span<const ShardValue>> inputs, int64_t begin, int64_t end,
           std::byte* out, std::byte* scratch) const override {
    const uint64_t begun = Telemetry::Now();
    inside().Run(inputs, begin, end, out, scratch);
    Add(begun);
  }
  size_t scratch_bytes() const override { return inside().scratch_bytes(); }
};

class MeasuredUpdate : public Measured<UpdateKernel> {
 public:
  using Measured::Measured;
  bool Run(std::span<void* const> operands, const double* derived, int64_t count) const override {
    const uint64_t begin = Telemetry::Now();
    const bool finite = inside().Run(operands, derived, count);
    Add(begin);
    return finite;
  }
  size_t derived_count() const override { return inside().derived_count(); }
  void Derive(std::span<void* const> operands, double* derived) const override {
    inside().Derive(operands, derived);
  }
};

}  // namespace

void Instrument(StepProgram& program, std::shared_ptr<Telemetry> telemetry) {
  const auto wrap = [&telemetry]<typename Wrapper, typename Base>(
                        std::shared_ptr<const Base>& kernel, std::string layer, const char* stage,
                        const Wrapper*) {
    const int item = telemetry->Register({kernel->name(), std::move(layer), stage});
    kernel = std::make_shared<const Wrapper>(std::move(kernel), telemetry, item);
  };
  const auto wrap_all = [&](std::vector<Instruction>& instructions, const char* stage) {
    for (Instruction& instruction : instructions) {
      wrap(instruction.kernel, instruction.layer, stage,
           static_cast<const MeasuredKernel*>(nullptr));
    }
  };
  for (ShardPart& part : program.parts) {
    for (ShardRoutine& routine : part.routines) wrap_all(routine.instructions, "shard");
  }
  for (JointRoutine& joint : program.joints) wrap_all(joint.instructions, "joint");
  for (ReduceUnit& unit : program.units) {
    if (unit.kernel != nullptr) {
      wrap(unit.kernel, unit.name, "reduce", static_cast<const MeasuredReduce*>(nullptr));
    }
    for (UpdateInstruction& update : unit.updates) {
      wrap(update.kernel, unit.name, "update", static_cast<const MeasuredUpdate*>(nullptr));
    }
  }
}

}  // namespace ingot::runtime
