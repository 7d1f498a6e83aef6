// Telemetry: see telemetry.h.
#include "ingot/runtime/telemetry.h"

#include <algorithm>
#include <utility>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "ingot/base/clock.h"
#include "ingot/base/error.h"

namespace ingot::runtime {
namespace {

uint64_t NextSerial() {
  static std::atomic<uint64_t> next = 1;
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// Written by its thread alone. Others read it while the thread may still be at the end of a task
// that somebody else has taken over, hence the atomics.
struct Telemetry::ThreadRecord {
  struct Total {
    std::atomic<uint64_t> ticks = 0;
    std::atomic<int64_t> calls = 0;
  };
  struct Event {
    int item;
    uint64_t begin, end;
  };
  ThreadRecord(int number, size_t item_count, size_t event_count)
      : number(number), totals(item_count), events(event_count) {}

  int number;
  std::vector<Total> totals;
  std::vector<Event> events;
  std::atomic<size_t> used = 0;
  std::atomic<int64_t> dropped = 0;
};

Telemetry::Telemetry(int64_t most_events)
    : serial_(NextSerial()),
      most_events_(most_events),
      first_tick_(Now()),
      first_nanosecond_(MonotonicNanoseconds()) {}

Telemetry::~Telemetry() = default;

int Telemetry::Register(TelemetryItem item) {
  INGOT_ASSERT(records_.empty(), "items are registered before anything is measured");
  items_.push_back(std::move(item));
  return static_cast<int>(items_.size()) - 1;
}

uint64_t Telemetry::Now() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<uint64_t>(MonotonicNanoseconds());
#endif
}

Telemetry::ThreadRecord& Telemetry::Record() {
  thread_local uint64_t serial = 0;
  thread_local ThreadRecord* record = nullptr;
  if (serial == serial_) return *record;
  const std::lock_guard lock(mutex_);
  records_.push_back(std::make_unique<ThreadRecord>(
      static_cast<int>(records_.size()), items_.size(), static_cast<size_t>(most_events_)));
  record = records_.back().get();
  serial = serial_;
  return *record;
}

void Telemetry::Add(int item, uint64_t begin, uint64_t end) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  ThreadRecord& record = Record();
  ThreadRecord::Total& total = record.totals[static_cast<size_t>(item)];
  // One writer: no need for the bus lock of an atomic addition.
  total.ticks.store(total.ticks.load(kRelaxed) + (end - begin), kRelaxed);
  total.calls.store(total.calls.load(kRelaxed) + 1, kRelaxed);
  if (!tracing_.load(kRelaxed)) return;
  const size_t used = record.used.load(kRelaxed);
  if (used == record.events.size()) {
    record.dropped.store(record.dropped.load(kRelaxed) + 1, kRelaxed);
    return;
  }
  record.events[used] = {item, begin, end};
  record.used.store(used + 1, std::memory_order_release);
}

// The clocks are compared over the life of the telemetry: the longer, the more exactly.
double Telemetry::SecondsOfTick() const {
  const auto ticks_passed = static_cast<double>(Now() - first_tick_);
  const auto passed = static_cast<double>(MonotonicNanoseconds() - first_nanosecond_);
  if (ticks_passed <= 0) return 0;
  return 1e-9 * passed / ticks_passed;
}

std::vector<TelemetryTotal> Telemetry::Totals() const {
  const std::lock_guard lock(mutex_);
  const double tick = SecondsOfTick();
  std::vector<TelemetryTotal> totals;
  for (size_t i = 0; i < items_.size(); ++i) {
    uint64_t ticks = 0;
    TelemetryTotal total = {items_[i], 0, 0};
    for (const auto& record : records_) {
      ticks += record->totals[i].ticks.load(std::memory_order_relaxed);
      total.calls += record->totals[i].calls.load(std::memory_order_relaxed);
    }
    total.seconds = tick * static_cast<double>(ticks);
    if (total.calls > 0) totals.push_back(std::move(total));
  }
  return totals;
}

std::vector<TelemetryEvent> Telemetry::Events() const {
  const std::lock_guard lock(mutex_);
  const double tick = SecondsOfTick();
  std::vector<TelemetryEvent> events;
  for (const auto& record : records_) {
    const size_t used = record->used.load(std::memory_order_acquire);
    for (size_t i = 0; i < used; ++i) {
      const ThreadRecord::Event& event = record->events[i];
      events.push_back({record->number, event.item,
                        tick * static_cast<double>(event.begin - first_tick_),
                        tick * static_cast<double>(event.end - first_tick_)});
    }
  }
  return events;
}

int64_t Telemetry::dropped_events() const {
  const std::lock_guard lock(mutex_);
  int64_t dropped = 0;
  for (const auto& record : records_) dropped += record->dropped.load(std::memory_order_relaxed);
  return dropped;
}

double Telemetry::SecondsNow() const {
  return 1e-9 * static_cast<double>(MonotonicNanoseconds() - first_nanosecond_);
}

}  // namespace ingot::runtime
