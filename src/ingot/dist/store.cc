// Stores in memory and in a folder. There link(2) creates a record or fails where it exists,
// rename(2) replaces one.
#include "ingot/dist/store.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <unistd.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"

namespace ingot::dist {
namespace {

constexpr const char* kTemporary = ".tmp-";

}  // namespace

bool MemoryStore::Create(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  return records_.emplace(key, value).second;
}

void MemoryStore::Put(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  records_[key] = value;
}

std::optional<std::string> MemoryStore::Get(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = records_.find(key);
  if (found == records_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> MemoryStore::List(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, value] : records_) {
    if (key.starts_with(prefix)) keys.push_back(key);
  }
  return keys;
}

FileStore::FileStore(std::string folder) : folder_(std::move(folder)) {
  RealFileSystem().CreateDirectories(folder_);
}

std::string FileStore::Temporary(const std::string& value) {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  const std::string path = folder_ + "/" + kTemporary + host + "-" + std::to_string(::getpid()) +
                           "-" + std::to_string(reinterpret_cast<uintptr_t>(this)) + "-" +
                           std::to_string(count_.fetch_add(1));
  const auto file = RealFileSystem().OpenForWrite(path);
  file->Write(value);
  file->Close();
  return path;
}

bool FileStore::Create(const std::string& key, const std::string& value) {
  const std::string temporary = Temporary(value);
  const int failed = ::link(temporary.c_str(), (folder_ + "/" + key).c_str()) == 0 ? 0 : errno;
  ::unlink(temporary.c_str());
  if (failed == EEXIST) return false;
  if (failed != 0) throw FileError("create", folder_ + "/" + key, failed);
  return true;
}

void FileStore::Put(const std::string& key, const std::string& value) {
  RealFileSystem().Rename(Temporary(value), folder_ + "/" + key);
}

std::optional<std::string> FileStore::Get(const std::string& key) {
  std::ifstream file(folder_ + "/" + key, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> FileStore::List(const std::string& prefix) {
  std::vector<std::string> keys;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, failed)) {
    std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) == 0 && name.rfind(kTemporary, 0) != 0)
      keys.push_back(std::move(name));
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

int64_t LastNumber(Store& store, const std::string& name) {
  int64_t last = 0;
  for (const std::string& key : store.List(name + "-")) {
    last = std::max(last, int64_t{std::strtoll(key.c_str() + name.size() + 1, nullptr, 10)});
  }
  return last;
}

}  // namespace ingot::dist
