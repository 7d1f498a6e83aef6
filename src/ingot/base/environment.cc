// What the environment says about folders and the locale.
#include "ingot/base/environment.h"

#include <cstdlib>

#include "ingot/base/error.h"

namespace ingot {

std::optional<std::string> GetEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

std::string CacheFolder() {
  if (const auto cache = GetEnvironment("INGOT_CACHE")) return *cache;
  // The XDG specification has relative paths ignored.
  const auto xdg = GetEnvironment("XDG_CACHE_HOME");
  if (xdg && xdg->front() == '/') return *xdg + "/ingot";
  if (const auto home = GetEnvironment("HOME")) return *home + "/.cache/ingot";
  throw Error(ErrorCode::kNotFound,
              "no folder for the cache: none of INGOT_CACHE, XDG_CACHE_HOME and HOME is set",
              "set INGOT_CACHE to a folder that can be written");
}

std::optional<std::string> DataFolder() {
  return GetEnvironment("INGOT_DATA");
}

bool LocaleIsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const auto value = GetEnvironment(name);
    if (!value) continue;
    return value->find("UTF-8") != std::string::npos || value->find("utf8") != std::string::npos ||
           value->find("utf-8") != std::string::npos || value->find("UTF8") != std::string::npos;
  }
  return false;
}

}  // namespace ingot
