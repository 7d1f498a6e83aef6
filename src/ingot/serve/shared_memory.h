// SharedMemory: the regions of system shared memory that clients have registered.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ingot/serve/status.h"

namespace ingot::serve {

struct SharedRegion {
  std::string name, key;
  uint64_t offset = 0, size = 0;
};

// Safe for use by several threads. A region that a request uses stays mapped until it is answered.
class SharedMemory {
 public:
  // Maps `size` bytes from `offset` of the POSIX shared memory object `key`.
  Status Register(const std::string& name, const std::string& key, uint64_t offset, uint64_t size);
  // "" for all.
  void Unregister(const std::string& name);
  // "" for all; with a status where there is no such region.
  std::vector<SharedRegion> List(const std::string& name, Status& status) const;

  struct Window {
    std::span<std::byte> bytes;
    std::shared_ptr<const void> owner;
  };
  // Part of a region.
  Window Find(const std::string& name, uint64_t offset, uint64_t size, Status& status) const;

 private:
  struct Mapped;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Mapped>> regions_;
};

}  // namespace ingot::serve
