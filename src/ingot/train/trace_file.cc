// Traces: see trace_file.h.
#include "ingot/train/trace_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "ingot/train/time_table.h"

namespace ingot::train {
namespace {

using Json = nlohmann::ordered_json;
using runtime::TelemetryEvent;
using runtime::TelemetryItem;

// Names are those of layers, which may be any bytes.
std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class TraceWriter {
 public:
  explicit TraceWriter(const runtime::Telemetry& telemetry)
      : items_(telemetry.items()), events_(telemetry.Events()) {
    for (const TelemetryEvent& event : events_) first_ = std::min(first_, event.begin);
  }

  std::string Write(int64_t dropped) {
    size_t begin = 0;
    while (begin < events_.size()) {
      const size_t end = EndOfTask(begin);
      if (events_[begin].thread != thread_) NameThread(events_[begin].thread);
      const bool is_shard = ItemOf(begin).stage == "data" || ItemOf(begin).stage == "shard";
      AddSlice(is_shard ? "shard" : "tile " + ItemOf(begin).layer, "task", events_[begin].thread,
               events_[begin].begin, events_[end - 1].end, nullptr);
      for (size_t i = begin; i < end; ++i) {
        const TelemetryItem& item = ItemOf(i);
        const Json arguments = {{"layer", item.layer}, {"stage", item.stage}};
        AddSlice(item.name, FamilyOf(item), events_[i].thread, events_[i].begin, events_[i].end,
                 &arguments);
      }
      begin = end;
    }
    return "{\"displayTimeUnit\": \"ms\", \"otherData\": {\"dropped_events\": " +
           std::to_string(dropped) + "}, \"traceEvents\": [\n" + body_ + "\n]}\n";
  }

 private:
  const TelemetryItem& ItemOf(size_t i) const {
    return items_[static_cast<size_t>(events_[i].item)];
  }

  // A shard begins with its batch; a tile is a reduction and the updates after it.
  size_t EndOfTask(size_t begin) const {
    const bool tile = ItemOf(begin).stage == "reduce" || ItemOf(begin).stage == "update";
    size_t end = begin + 1;
    for (; end < events_.size() && events_[end].thread == events_[begin].thread; ++end) {
      const std::string& stage = ItemOf(end).stage;
      if (stage == "data" || stage == "reduce" || (stage == "update") != tile) break;
    }
    return end;
  }

  void NameThread(int thread) {
    thread_ = thread;
    Add({{"name", "thread_name"},
         {"ph", "M"},
         {"pid", 1},
         {"tid", thread},
         {"args", {{"name", "thread " + std::to_string(thread)}}}});
  }

  void AddSlice(const std::string& name, const std::string& category, int thread, double begin,
                double end, const Json* arguments) {
    // Nanoseconds are as fine as it gets.
    const auto microseconds = [](double seconds) { return std::round(seconds * 1e9) / 1e3; };
    Json json = {{"name", name},
                 {"cat", category},
                 {"ph", "X"},
                 {"ts", microseconds(begin - first_)},
                 {"dur", microseconds(end - begin)},
                 {"pid", 1},
                 {"tid", thread}};
    if (arguments != nullptr) json["args"] = *arguments;
    Add(json);
  }

  void Add(const Json& json) { body_ += (body_.empty() ? "" : ",\n") + Line(json); }

  const std::vector<TelemetryItem>& items_;
  std::vector<TelemetryEvent> events_;
  double first_ = std::numeric_limits<double>::infinity();
  int thread_ = -1;
  std::string body_;
};

}  // namespace

std::string TraceJson(const runtime::Telemetry& telemetry) {
  return TraceWriter(telemetry).Write(telemetry.dropped_events());
}

}  // namespace ingot::train
