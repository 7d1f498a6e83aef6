// Metrics as text, in Prometheus' own format and in OpenMetrics.
#include "ingot/serve/metrics.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "ingot/base/heap.h"
#include "ingot/base/machine.h"
#include "ingot/serve/access_control.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

struct Sample {
  std::shared_ptr<const ServedModel> model;
  StatisticsValues values;
};

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

// The bound of a bucket, which OpenMetrics wants with a point.
std::string BoundText(double bound) {
  std::string text = fmt::format("{}", bound);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

class Writer {
 public:
  explicit Writer(bool open_metrics) : open_metrics_(open_metrics) {}

  // `type`: counter, gauge, histogram, or untyped.
  void Head(std::string_view name, std::string_view type, const char* help) {
    if (open_metrics_) {
      // There, the name of a counter's family lacks the _total of its samples.
      if (type == "counter" && name.ends_with("_total")) name.remove_suffix(6);
      if (type == "untyped") type = "unknown";
      text += fmt::format("# TYPE {} {}\n# HELP {} {}\n", name, type, name, help);
    } else {
      text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
  }
  void Line(const char* name, const std::string& labels, double value) {
    text += labels.empty() ? fmt::format("{} {}\n", name, value)
                           : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
  // One value for each model.
  void PerModel(const std::vector<Sample>& samples, const char* name, const char* type,
                const char* help, const std::function<double(const Sample&)>& value) {
    if (samples.empty()) return;
    Head(name, type, help);
    for (const Sample& sample : samples) Line(name, Labels(sample), value(sample));
  }
  void PerModel(const std::vector<Sample>& samples, const char* name, const char* help,
                const Histogram StatisticsValues::*member) {
    if (samples.empty()) return;
    Head(name, "histogram", help);
    for (const Sample& sample : samples) {
      const Histogram& histogram = sample.values.*member;
      uint64_t sum = 0;
      for (size_t i = 0; i < kTimeBounds.size(); ++i) {
        sum += histogram.counts[i];
        text += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, Labels(sample),
                            BoundText(kTimeBounds[i]), sum);
      }
      sum += histogram.counts.back();
      text += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, Labels(sample), sum);
      text += fmt::format("{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", name, Labels(sample),
                          histogram.sum, name, Labels(sample), sum);
    }
  }
  static std::string Labels(const Sample& sample) {
    return fmt::format("model=\"{}\",version=\"{}\"", Escape(sample.model->name),
                       sample.model->version);
  }

  std::string text;

 private:
  const bool open_metrics_;
};

// Untyped: their names end as only counters and histograms of Prometheus may, or without _total.
void WriteTriton(const std::vector<Sample>& samples, bool abbreviated, Writer& w) {
  const auto us = [](const CountedTime& time) { return static_cast<double>(time.ns) / 1000; };
  const auto n = [](uint64_t count) { return static_cast<double>(count); };
  w.PerModel(samples, "nv_inference_request_success", "untyped", "Successful inference requests",
             [&](const Sample& s) { return n(s.values.success.count); });
  w.PerModel(samples, "nv_inference_request_failure", "untyped", "Failed inference requests",
             [&](const Sample& s) { return n(s.values.fail.count); });
  w.PerModel(samples, "nv_inference_count", "untyped",
             "Inferences performed, each row of a batch counted",
             [&](const Sample& s) { return n(s.values.inference_count); });
  w.PerModel(samples, "nv_inference_exec_count", "untyped", "Batches computed",
             [&](const Sample& s) { return n(s.values.execution_count); });
  w.PerModel(samples, "nv_inference_pending_request_count", "untyped", "Requests that wait",
             [&](const Sample& s) { return static_cast<double>(s.model->scheduler->queued()); });
  w.PerModel(samples, "nv_cache_num_hits_per_model", "untyped", "Answers from the cache",
             [&](const Sample& s) { return n(s.values.cache_hit.count); });
  w.PerModel(samples, "nv_cache_num_misses_per_model", "untyped", "Requests not in the cache",
             [&](const Sample& s) { return n(s.values.cache_miss.count); });
  if (!abbreviated) return;
  w.PerModel(samples, "nv_inference_request_duration_us", "untyped",
             "Time of requests in microseconds",
             [&](const Sample& s) { return us(s.values.success); });
  w.PerModel(samples, "nv_inference_queue_duration_us", "untyped", "Time in queues in microseconds",
             [&](const Sample& s) { return us(s.values.queue); });
  w.PerModel(samples, "nv_inference_compute_input_duration_us", "untyped",
             "Time of preparing inputs in microseconds",
             [&](const Sample& s) { return us(s.values.compute_input); });
  w.PerModel(samples, "nv_inference_compute_infer_duration_us", "untyped",
             "Time of computing in microseconds",
             [&](const Sample& s) { return us(s.values.compute_infer); });
  w.PerModel(samples, "nv_inference_compute_output_duration_us", "untyped",
             "Time of preparing outputs in microseconds",
             [&](const Sample& s) { return us(s.values.compute_output); });
}

void WriteModels(const std::vector<Sample>& samples, Writer& w) {
  const auto n = [](uint64_t count) { return static_cast<double>(count); };
  w.PerModel(samples, "ingot_requests_total", "counter", "Inference requests answered well",
             [&](const Sample& s) { return n(s.values.success.count); });
  w.PerModel(samples, "ingot_requests_failed_total", "counter",
             "Inference requests refused or failed",
             [&](const Sample& s) { return n(s.values.fail.count); });
  w.PerModel(samples, "ingot_requests_rejected_total", "counter",
             "Inference requests refused for want of room or time",
             [&](const Sample& s) { return n(s.values.rejected); });
  w.PerModel(samples, "ingot_requests_cancelled_total", "counter",
             "Inference requests given up by their clients",
             [&](const Sample& s) { return n(s.values.cancelled); });
  w.PerModel(samples, "ingot_rows_total", "counter", "Rows computed",
             [&](const Sample& s) { return n(s.values.inference_count); });
  w.PerModel(samples, "ingot_batches_total", "counter", "Batches computed",
             [&](const Sample& s) { return n(s.values.execution_count); });
  w.PerModel(samples, "ingot_queued_requests", "gauge", "Inference requests that wait",
             [&](const Sample& s) { return static_cast<double>(s.model->scheduler->queued()); });
  w.PerModel(samples, "ingot_request_duration_seconds",
             "From the arrival of a request to its answer", &StatisticsValues::request_seconds);
  w.PerModel(samples, "ingot_queue_duration_seconds", "Time of requests in queues",
             &StatisticsValues::queue_seconds);
  w.PerModel(samples, "ingot_compute_duration_seconds", "Time of computing a batch",
             &StatisticsValues::compute_seconds);
  if (samples.empty()) return;
  w.Head("ingot_batch_size", "histogram", "Rows of the batches computed");
  for (const Sample& sample : samples) {
    const std::string labels = Writer::Labels(sample);
    uint64_t sum = 0, rows = 0;
    auto it = sample.values.batches.begin();
    for (int64_t bound = 1; bound <= 1024; bound *= 2) {
      for (; it != sample.values.batches.end() && it->first <= bound; ++it) {
        sum += it->second.infer.count;
        rows += it->second.infer.count * static_cast<uint64_t>(it->first);
      }
      w.text += fmt::format("ingot_batch_size_bucket{{{},le=\"{}\"}} {}\n", labels,
                            BoundText(static_cast<double>(bound)), sum);
    }
    for (; it != sample.values.batches.end(); ++it) {
      sum += it->second.infer.count;
      rows += it->second.infer.count * static_cast<uint64_t>(it->first);
    }
    w.text += fmt::format("ingot_batch_size_bucket{{{},le=\"+Inf\"}} {}\n", labels, sum);
    w.text += fmt::format("ingot_batch_size_sum{{{}}} {}\ningot_batch_size_count{{{}}} {}\n",
                          labels, rows, labels, sum);
  }
}

void WriteServer(ServerState& state, Writer& w) {
  w.Head("ingot_connections", "gauge", "Open connections");
  w.Line("ingot_connections", "", static_cast<double>(state.connections ? state.connections() : 0));
  w.Head("ingot_requests_in_flight", "gauge", "Inference requests being answered");
  w.Line("ingot_requests_in_flight", "", static_cast<double>(state.in_flight.load()));
  w.Head("ingot_resident_memory_bytes", "gauge", "Resident memory of the process");
  w.Line("ingot_resident_memory_bytes", "", static_cast<double>(ResidentBytes()));
  const HeapUse heap = ReadHeapUse();
  w.Head("ingot_heap_used_bytes", "gauge", "Bytes of the heap in use");
  w.Line("ingot_heap_used_bytes", "", static_cast<double>(heap.used));
  w.Head("ingot_heap_free_bytes", "gauge", "Bytes of the heap that are free");
  w.Line("ingot_heap_free_bytes", "", static_cast<double>(heap.free));
  w.Head("ingot_uptime_seconds", "gauge", "Time since the start of the process");
  w.Line("ingot_uptime_seconds", "",
         std::chrono::duration<double>(std::chrono::steady_clock::now() - state.started).count());
  if (state.cache == nullptr) return;
  const ResponseCache::Numbers cache = state.cache->numbers();
  w.Head("ingot_cache_bytes", "gauge", "Bytes in the response cache");
  w.Line("ingot_cache_bytes", "", static_cast<double>(cache.bytes));
  w.Head("ingot_cache_hits_total", "counter", "Answers from the response cache");
  w.Line("ingot_cache_hits_total", "", static_cast<double>(cache.hits));
  w.Head("ingot_cache_misses_total", "counter", "Requests that were not in the response cache");
  w.Line("ingot_cache_misses_total", "", static_cast<double>(cache.misses));
  w.Head("ingot_cache_evictions_total", "counter", "Answers dropped from the response cache");
  w.Line("ingot_cache_evictions_total", "", static_cast<double>(cache.evictions));
}

enum class Names { kAll, kPlain, kIngot };

std::string MetricsText(ServerState& state, const std::string& key_name, Names names,
                        bool open_metrics) {
  std::vector<Sample> samples;
  for (auto& model : state.repository->Loaded()) {
    if (!state.access->MayUse(key_name, model->name)) continue;
    StatisticsValues values = model->statistics.Values();
    samples.push_back({std::move(model), std::move(values)});
  }
  Writer writer(open_metrics);
  if (names != Names::kIngot) WriteTriton(samples, names == Names::kAll, writer);
  WriteModels(samples, writer);
  WriteServer(state, writer);
  if (open_metrics) writer.text += "# EOF\n";
  return writer.text;
}

}  // namespace

Response MetricsAnswer(ServerState& state, const Call& call) {
  const bool open =
      call.headers.Get("accept").find("application/openmetrics-text") != std::string_view::npos;
  Names names = open ? Names::kAll : Names::kPlain;
  const std::string_view target = call.target;
  const std::string_view query = target.substr(std::min(target.size(), call.path().size() + 1));
  if (query.starts_with("names=")) {
    const std::string_view wanted = query.substr(6, query.find('&') - 6);
    if (wanted != "all" && wanted != "ingot") {
      throw Error(ErrorCode::kInvalidInput,
                  "names '" + std::string(wanted) + "': expected all or ingot");
    }
    names = wanted == "all" ? Names::kAll : Names::kIngot;
  }
  Response response;
  response.content_type = open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                               : "text/plain; version=0.0.4; charset=utf-8";
  response.body = MetricsText(state, call.key_name, names, open);
  return response;
}

}  // namespace ingot::serve
