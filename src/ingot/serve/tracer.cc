// Collecting spans and sending them.
#include "ingot/serve/tracer.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/serve/http_client.h"
#include "ingot/serve/json_writer.h"
#include "ingot/serve/served_model.h"
#include "ingot/serve/server_state.h"

namespace ingot::serve {
namespace {

constexpr size_t kMostWaiting = 10'000;

int64_t WallOffset() {
  const auto ns = [](auto d) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
  };
  return ns(std::chrono::system_clock::now().time_since_epoch()) -
         ns(Clock::now().time_since_epoch());
}

// "00-<32 digits>-<16 digits>-<flags>"; false for anything else.
bool ParseTraceParent(const std::string& text, std::string& trace, std::string& parent,
                      bool& sampled) {
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  trace = text.substr(3, 32);
  parent = text.substr(36, 16);
  if ((trace + parent).find_first_not_of("0123456789abcdef") != std::string::npos) return false;
  sampled = ((text[54] - '0') & 1) != 0;
  return trace.find_first_not_of('0') != std::string::npos;
}

}  // namespace

Tracer::Tracer(const std::string& url, const std::string& file, Settings& settings)
    : url_(url), settings_(settings), to_wall_ns_(WallOffset()) {
  if (!url.empty()) HttpClient{url};  // says at once that it is none
  if (!file.empty()) {
    file_ = std::fopen(file.c_str(), "ae");
    if (file_ == nullptr) {
      throw Error(ErrorCode::kIo,
                  "cannot write the trace file '" + file + "': " + std::strerror(errno));
    }
  }
  thread_ = std::thread([this] { Run(); });
}

Tracer::~Tracer() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (file_ != nullptr) std::fclose(file_);
}

bool Tracer::Wants(const InferJob& job) {
  const std::scoped_lock lock(settings_.mutex);
  const auto setting = [&](const std::string& key) -> std::string {
    for (const std::string& of : {job.model->name, std::string()}) {
      const auto model = settings_.trace.find(of);
      if (model == settings_.trace.end()) continue;
      const auto found = model->second.find(key);
      if (found != model->second.end() && !found->second.empty()) return found->second[0];
    }
    return "";
  };
  const std::string level = setting("trace_level");
  if (level.empty() || level == "OFF") return false;
  const std::string rate = setting("trace_rate");
  const uint64_t every = rate.empty() ? 1000 : std::strtoull(rate.c_str(), nullptr, 10);
  return every > 0 && seen_.fetch_add(1) % every == 0;
}

void Tracer::Add(const InferJob& job) {
  if (job.model == nullptr) return;
  Span span;
  bool sampled = false;
  const bool has_parent = !job.trace_parent.empty() &&
                          ParseTraceParent(job.trace_parent, span.trace, span.parent, sampled);
  if (!(has_parent && sampled) && !Wants(job)) return;
  const auto wall = [&](Clock::time_point at) {
    return at == Clock::time_point() ? 0 : Nanoseconds(at.time_since_epoch()) + to_wall_ns_;
  };
  span.model = job.model->name;
  span.version = job.model->version;
  span.rows = job.rows;
  span.begin = wall(job.times.received);
  span.queued = wall(job.times.compute_start);
  span.computed = wall(job.times.compute_end);
  span.end = wall(Clock::now());
  span.from_cache = job.from_cache;
  if (!job.status.ok()) span.error = job.status.message;
  {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= kMostWaiting) {
      dropped_.fetch_add(1);
      return;
    }
    waiting_.push_back(std::move(span));
  }
  changed_.notify_one();
}

std::string Tracer::Hex(size_t bytes) {
  std::string text;
  while (text.size() < 2 * bytes) text += fmt::format("{:016x}", random_());
  return text.substr(0, 2 * bytes);
}

std::string Tracer::OtlpOf(const std::vector<Span>& spans) {
  std::string out =
      "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
      "\"stringValue\":\"ingot\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"ingot.serve\"},"
      "\"spans\":[";
  bool first = true;
  const auto begin = [&](const std::string& trace, const std::string& id, const std::string& parent,
                         const std::string& name, int64_t from, int64_t to) {
    if (!first) out += ',';
    first = false;
    out += "{\"traceId\":\"" + trace + "\",\"spanId\":\"" + id + "\",";
    if (!parent.empty()) out += "\"parentSpanId\":\"" + parent + "\",";
    out += "\"name\":";
    AppendJsonString(name, out);
    // 2: the server's side of a call; 1: inside of it.
    out += fmt::format(",\"kind\":{},\"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\"",
                       name == "queue" || name == "compute" ? 1 : 2, from, to);
  };
  for (const Span& span : spans) {
    const std::string trace = span.trace.empty() ? Hex(16) : span.trace;
    const std::string id = Hex(8);
    begin(trace, id, span.parent, "infer " + span.model, span.begin, span.end);
    out += ",\"attributes\":[{\"key\":\"model.name\",\"value\":{\"stringValue\":";
    AppendJsonString(span.model, out);
    out += fmt::format(
        "}}}},{{\"key\":\"model.version\",\"value\":{{\"intValue\":\"{}\"}}}},{{\"key\":\"rows\","
        "\"value\":{{\"intValue\":\"{}\"}}}},{{\"key\":\"from_cache\",\"value\":{{\"boolValue\":{}}"
        "}}}]",
        span.version, span.rows, span.from_cache);
    if (!span.error.empty()) {
      out += ",\"status\":{\"code\":2,\"message\":";
      AppendJsonString(span.error, out);
      out += '}';
    }
    out += '}';
    if (span.queued == 0 || span.computed == 0 || !span.error.empty()) continue;
    begin(trace, Hex(8), id, "queue", span.begin, span.queued);
    out += '}';
    begin(trace, Hex(8), id, "compute", span.queued, span.computed);
    out += '}';
  }
  return out + "]}]}]}";
}

void Tracer::Run() {
  std::unique_ptr<HttpClient> client;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    if (!stopping_) changed_.wait_for(lock, std::chrono::milliseconds(200));  // some together
    std::vector<Span> spans;
    spans.swap(waiting_);
    const std::string body = OtlpOf(spans);
    lock.unlock();
    if (file_ != nullptr) {
      std::fwrite((body + "\n").data(), 1, body.size() + 1, file_);
      std::fflush(file_);
    }
    if (!url_.empty()) {
      try {
        if (client == nullptr) client = std::make_unique<HttpClient>(url_);
        const HttpAnswer answer =
            client->Send("POST", "/v1/traces", {{"Content-Type", "application/json"}}, body);
        if (answer.status != 200) dropped_.fetch_add(spans.size());
      } catch (const Error&) {
        dropped_.fetch_add(spans.size());
        client.reset();
      }
    }
    lock.lock();
  }
}

}  // namespace ingot::serve
