// Telemetry: how long threads spend in each kernel of a program, and on request when: the events of
// a trace. Kernels are measured from outside, by wrappers around them, so that a program that is
// not measured carries nothing of it and the results are the same bits.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ingot::runtime {

class StepProgram;

// What is measured: a kernel of a layer, or something else that threads do.
struct TelemetryItem {
  std::string name;   // "matmul_f32"
  std::string layer;  // "dense1"; "" where it belongs to none
  std::string stage;  // "shard", "reduce", "update", "data"
};

struct TelemetryTotal {
  TelemetryItem item;
  double seconds = 0;  // of all threads together
  int64_t calls = 0;
};

struct TelemetryEvent {
  int thread = 0;  // in the order in which threads were first seen
  int item = 0;
  double begin = 0;  // seconds since the telemetry was made
  double end = 0;
};

// Add may be called from any thread: it takes no lock, and allocates only at a thread's first call.
// Items are registered before the first Add; the rest is for one thread at a time.
class Telemetry {
 public:
  // `most_events`: of one thread in a trace; later ones are dropped and counted.
  explicit Telemetry(int64_t most_events = 0);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  int Register(TelemetryItem item);
  const std::vector<TelemetryItem>& items() const { return items_; }

  // Ticks of a clock that is cheap to read (the cycle counter on x86-64), for Add.
  static uint64_t Now();
  void Add(int item, uint64_t begin, uint64_t end);

  // Events are kept while this is set; between or during steps.
  void SetTracing(bool tracing) { tracing_.store(tracing, std::memory_order_relaxed); }

  // Items that took time, in the order of their registration.
  std::vector<TelemetryTotal> Totals() const;
  // Of each thread in order of time.
  std::vector<TelemetryEvent> Events() const;
  int64_t dropped_events() const;
  // Now, on the scale of events.
  double SecondsNow() const;

 private:
  struct ThreadRecord;
  ThreadRecord& Record();
  double SecondsOfTick() const;

  const uint64_t serial_;  // no two of the process are the same
  const int64_t most_events_;
  const uint64_t first_tick_;
  const int64_t first_nanosecond_;
  std::atomic<bool> tracing_ = false;
  std::vector<TelemetryItem> items_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<ThreadRecord>> records_;
};

// Puts a measuring wrapper around every kernel of the program, each registered as an item of its
// own. The names of the kernels stay.
void Instrument(StepProgram& program, std::shared_ptr<Telemetry> telemetry);

}  // namespace ingot::runtime
