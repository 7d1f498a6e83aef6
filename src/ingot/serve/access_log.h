// AccessLog: a line of JSON for each call.
#pragma once

#include <cstdio>
#include <mutex>
#include <string>

#include "ingot/serve/net/call.h"

namespace ingot::serve {

// Safe for use by several threads.
class AccessLog {
 public:
  // "-" is stderr. Throws Error(kIo).
  explicit AccessLog(const std::string& path);
  ~AccessLog();
  void Write(const Call& call);

 private:
  std::mutex mutex_;
  std::FILE* file_;
};

}  // namespace ingot::serve
