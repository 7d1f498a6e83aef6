// TimeTable: where the time of a run went.
//
// A PhaseClock follows the thread that trains: it is in exactly one phase at any time, so that the
// phases add up to the whole. The time inside the steps is divided further by what the threads did
// in them (runtime/telemetry.h): a family's part is its share of the threads' time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/runtime/telemetry.h"
#include "ingot/train/summary.h"

namespace ingot::train {

enum class Phase { kStartUp, kSteps, kValidation, kTest, kCheckpoint, kRecords, kMachine, kOther };
inline constexpr size_t kPhases = 8;

// Not safe for use by several threads.
class PhaseClock {
 public:
  // Begins in kStartUp, which includes what the process has done until now.
  PhaseClock();
  // Returns the phase before.
  Phase Switch(Phase phase);
  // Seconds, the phase at hand up to now.
  std::array<double, kPhases> Seconds() const;

 private:
  std::array<double, kPhases> seconds_ = {};
  Phase phase_ = Phase::kStartUp;
  double since_;  // on the clock of SecondsSinceProcessStart
};

// A phase for the length of a scope.
class PhaseScope {
 public:
  PhaseScope(PhaseClock& clock, Phase phase) : clock_(clock), before_(clock.Switch(phase)) {}
  ~PhaseScope() { clock_.Switch(before_); }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  PhaseClock& clock_;
  Phase before_;
};

// The family of ops that a kernel belongs to, by its name and stage: "products", "convolution",
// "normalisation", "attention", "recurrence", "elementwise", "update", "data", ...; "other kernels"
// where the name says nothing.
std::string FamilyOf(const runtime::TelemetryItem& item);

// Rows that took time, the largest first; of the threads' time for data, `data_wait_seconds` were
// spent on waiting for batches that others assemble. The last is "other":
// what belongs to nothing that is named. They add up to the sum of the phases.
std::vector<TimeRow> TimeTable(const std::array<double, kPhases>& phases,
                               const std::vector<runtime::TelemetryTotal>& totals, int threads,
                               double data_wait_seconds = 0);

// For people: names, seconds and shares, one line each.
std::string TimeTableText(const std::vector<TimeRow>& rows);

}  // namespace ingot::train
