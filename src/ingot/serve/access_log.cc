// Lines of the access log.
#include "ingot/serve/access_log.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/serve/json_writer.h"

namespace ingot::serve {

AccessLog::AccessLog(const std::string& path)
    : file_(path == "-" ? stderr : std::fopen(path.c_str(), "ae")) {
  if (file_ == nullptr) {
    throw Error(ErrorCode::kIo,
                "cannot write the access log '" + path + "': " + std::strerror(errno));
  }
  std::setvbuf(file_, nullptr, _IOLBF, 4096);
}

AccessLog::~AccessLog() {
  if (file_ != stderr) std::fclose(file_);
}

void AccessLog::Write(const Call& call) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t whole = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()) % 1000;
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &utc);
  std::string line = fmt::format("{{\"time\":\"{}.{:03}Z\",\"client\":", time, ms.count());
  AppendJsonString(call.peer->address, line);
  line += ",\"protocol\":\"";
  line += call.http2 ? "HTTP/2" : "HTTP/1.1";
  line += "\",\"method\":";
  AppendJsonString(call.method, line);
  line += ",\"path\":";
  AppendJsonString(call.target, line);
  line += fmt::format(
      ",\"status\":{},\"bytes_in\":{},\"bytes_out\":{},\"seconds\":{:.6f}", call.status,
      call.body.size(), call.bytes_out,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - call.begun).count());
  if (!call.key_name.empty()) {
    line += ",\"key\":";
    AppendJsonString(call.key_name, line);
  }
  if (!call.peer->certificate_name.empty()) {
    line += ",\"certificate\":";
    AppendJsonString(call.peer->certificate_name, line);
  }
  if (const std::string_view trace = call.headers.Get("traceparent"); !trace.empty()) {
    line += ",\"traceparent\":";
    AppendJsonString(trace, line);
  }
  line += "}\n";
  const std::scoped_lock lock(mutex_);
  std::fwrite(line.data(), 1, line.size(), file_);
}

}  // namespace ingot::serve
