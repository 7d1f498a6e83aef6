// Opening, reading and writing what clients share.
#include "ingot/serve/shared_memory.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingot/base/file_descriptor.h"

namespace ingot::serve {

struct SharedMemory::Opened {
  SharedRegion region;
  FileDescriptor file;
};

namespace {

Status Shorter(const std::string& name) {
  return Invalid("shared memory region '" + name + "' has become shorter since it was registered");
}

}  // namespace

Status SharedMemory::Register(const std::string& name, const std::string& key, uint64_t offset,
                              uint64_t size) {
  const std::string what = "shared memory region '" + name + "': ";
  if (name.empty()) return Invalid("a shared memory region needs a name");
  if (size == 0) return Invalid(what + "byte_size 0, expected at least 1");
  if (key.empty() || key.find('/', 1) != std::string::npos) {
    return Invalid(what + "key '" + key + "', expected a name such as /input");
  }
  {
    const std::scoped_lock lock(mutex_);
    if (regions_.contains(name)) return Invalid(what + "is registered already");
  }
  auto opened = std::make_shared<Opened>();
  opened->region = {name, key, offset, size};
  opened->file = FileDescriptor(::shm_open(key.c_str(), O_RDWR, 0));
  if (!opened->file.valid()) {
    return Invalid(what + "cannot open shared memory '" + key + "': " + std::strerror(errno));
  }
  struct stat info {};
  uint64_t end = 0;
  const bool fits = ::fstat(opened->file.get(), &info) == 0 &&
                    !__builtin_add_overflow(offset, size, &end) &&
                    end <= static_cast<uint64_t>(info.st_size);
  if (!fits) {
    return Invalid(what + "offset " + std::to_string(offset) + " and byte_size " +
                   std::to_string(size) + " go beyond '" + key + "', which has " +
                   std::to_string(info.st_size) + " bytes");
  }
  const std::scoped_lock lock(mutex_);
  if (!regions_.emplace(name, std::move(opened)).second) {
    return Invalid(what + "is registered already");
  }
  return {};
}

void SharedMemory::Unregister(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  if (name.empty()) {
    regions_.clear();
  } else {
    regions_.erase(name);
  }
}

std::vector<SharedRegion> SharedMemory::List(const std::string& name, Status& status) const {
  std::vector<SharedRegion> list;
  const std::scoped_lock lock(mutex_);
  for (const auto& [of, opened] : regions_) {
    if (name.empty() || name == of) list.push_back(opened->region);
  }
  if (!name.empty() && list.empty()) {
    status = NotFound("Unable to find system shared memory region: '" + name + "'");
  }
  return list;
}

std::shared_ptr<const SharedMemory::Opened> SharedMemory::Find(const std::string& name,
                                                               uint64_t offset, uint64_t size,
                                                               Status& status) const {
  const std::scoped_lock lock(mutex_);
  const auto found = regions_.find(name);
  if (found == regions_.end()) {
    status = Invalid("Unable to find shared memory region: '" + name + "'");
    return nullptr;
  }
  const SharedRegion& region = found->second->region;
  if (offset > region.size || size > region.size - offset) {
    status = Invalid("shared memory region '" + name + "' has " + std::to_string(region.size) +
                     " bytes: offset " + std::to_string(offset) + " and byte size " +
                     std::to_string(size) + " go beyond it");
    return nullptr;
  }
  return found->second;
}

Status SharedMemory::Check(const std::string& name, uint64_t offset, uint64_t size) const {
  Status status;
  Find(name, offset, size, status);
  return status;
}

Status SharedMemory::Read(const std::string& name, uint64_t offset, std::span<std::byte> to) const {
  Status status;
  const std::shared_ptr<const Opened> opened = Find(name, offset, to.size(), status);
  uint64_t at = opened == nullptr ? 0 : opened->region.offset + offset;
  while (status.ok() && !to.empty()) {
    const ssize_t n = ::pread(opened->file.get(), to.data(), to.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Shorter(name);
    to = to.subspan(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  return status;
}

Status SharedMemory::Write(const std::string& name, uint64_t offset,
                           std::span<const std::byte> from) const {
  Status status;
  const std::shared_ptr<const Opened> opened = Find(name, offset, from.size(), status);
  if (!status.ok()) return status;
  // Writing beyond its end would make it longer again.
  struct stat info {};
  uint64_t at = opened->region.offset + offset;
  if (::fstat(opened->file.get(), &info) != 0 ||
      at + from.size() > static_cast<uint64_t>(info.st_size)) {
    return Shorter(name);
  }
  while (!from.empty()) {
    const ssize_t n =
        ::pwrite(opened->file.get(), from.data(), from.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Invalid("shared memory region '" + name + "' cannot be written");
    from = from.subspan(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace ingot::serve
