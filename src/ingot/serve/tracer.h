// Tracer: spans of inferences, to an OpenTelemetry collector (OTLP over HTTP, in JSON) and to a
// file.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ingot/serve/job.h"

namespace ingot::serve {

struct Settings;

// Safe for use by several threads. Costs nothing but a look at two settings where nothing is
// traced.
class Tracer {
 public:
  // `url`: "http://127.0.0.1:4318", "" for none; `file`: "" for none. Throws Error(kIo,
  // kInvalidInput).
  Tracer(const std::string& url, const std::string& file, Settings& settings);
  ~Tracer();  // what is waiting is sent first

  // An inference that has ended. It is traced where its traceparent asks for it, or where the
  // settings are at trace_level TIMESTAMPS and this is every trace_rate-th.
  void Add(const InferJob& job);
  // Spans given up because the collector did not take them.
  uint64_t dropped() const { return dropped_.load(); }

 private:
  struct Span {
    std::string trace, parent, model, error;
    int64_t version = 0, rows = 0;
    // Nanoseconds since 1970.
    int64_t begin = 0, queued = 0, computed = 0, end = 0;
    bool from_cache = false;
  };
  bool Wants(const InferJob& job);
  void Run();
  std::string OtlpOf(const std::vector<Span>& spans);
  std::string Hex(size_t bytes);

  const std::string url_;
  std::FILE* file_ = nullptr;
  Settings& settings_;
  const int64_t to_wall_ns_;  // steady clock to wall clock
  std::atomic<uint64_t> seen_ = 0, dropped_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Span> waiting_;
  std::mt19937_64 random_{std::random_device{}()};
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ingot::serve
