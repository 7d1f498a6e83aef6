// Mapping what clients share.
#include "ingot/serve/shared_memory.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ingot::serve {

struct SharedMemory::Mapped {
  SharedRegion region;
  void* base = nullptr;  // page-aligned
  size_t length = 0;
  std::byte* bytes = nullptr;
  ~Mapped() {
    if (base != nullptr) ::munmap(base, length);
  }
};

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
  const int file = ::shm_open(key.c_str(), O_RDWR, 0);
  if (file < 0) {
    return Invalid(what + "cannot open shared memory '" + key + "': " + std::strerror(errno));
  }
  struct stat info {};
  uint64_t end = 0;
  const bool fits = ::fstat(file, &info) == 0 && !__builtin_add_overflow(offset, size, &end) &&
                    end <= static_cast<uint64_t>(info.st_size);
  if (!fits) {
    ::close(file);
    return Invalid(what + "offset " + std::to_string(offset) + " and byte_size " +
                   std::to_string(size) + " go beyond '" + key + "', which has " +
                   std::to_string(info.st_size) + " bytes");
  }
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = offset / page * page;
  auto mapped = std::make_shared<Mapped>();
  mapped->length = end - begin;
  void* base = ::mmap(nullptr, mapped->length, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                      static_cast<off_t>(begin));
  ::close(file);
  if (base == MAP_FAILED) return Invalid(what + "cannot be mapped: " + std::strerror(errno));
  mapped->base = base;
  mapped->bytes = static_cast<std::byte*>(base) + (offset - begin);
  mapped->region = {name, key, offset, size};
  const std::scoped_lock lock(mutex_);
  if (!regions_.emplace(name, std::move(mapped)).second) {
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
  for (const auto& [of, mapped] : regions_) {
    if (name.empty() || name == of) list.push_back(mapped->region);
  }
  if (!name.empty() && list.empty()) {
    status = NotFound("Unable to find system shared memory region: '" + name + "'");
  }
  return list;
}

SharedMemory::Window SharedMemory::Find(const std::string& name, uint64_t offset, uint64_t size,
                                        Status& status) const {
  const std::scoped_lock lock(mutex_);
  const auto found = regions_.find(name);
  if (found == regions_.end()) {
    status = Invalid("Unable to find shared memory region: '" + name + "'");
    return {};
  }
  const Mapped& mapped = *found->second;
  if (offset > mapped.region.size || size > mapped.region.size - offset) {
    status =
        Invalid("shared memory region '" + name + "' has " + std::to_string(mapped.region.size) +
                " bytes: offset " + std::to_string(offset) + " and byte size " +
                std::to_string(size) + " go beyond it");
    return {};
  }
  return {{mapped.bytes + offset, size}, found->second};
}

}  // namespace ingot::serve
