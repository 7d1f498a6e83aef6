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

// Safe for use by several threads. Bytes are copied by the kernel, never read where they lie: a
// client may change or cut off what it shares while the server looks at it.
class SharedMemory {
 public:
  // Opens `size` bytes from `offset` of the POSIX shared memory object `key`.
  Status Register(const std::string& name, const std::string& key, uint64_t offset, uint64_t size);
  // "" for all.
  void Unregister(const std::string& name);
  // "" for all; with a status where there is no such region.
  std::vector<SharedRegion> List(const std::string& name, Status& status) const;

  // Whether a region has these bytes, by what was registered.
  Status Check(const std::string& name, uint64_t offset, uint64_t size) const;
  // From `offset` of a region on; not ok where the object has become shorter.
  Status Read(const std::string& name, uint64_t offset, std::span<std::byte> to) const;
  Status Write(const std::string& name, uint64_t offset, std::span<const std::byte> from) const;

 private:
  struct Opened;
  // Null, with a status, where there is no such region or it is shorter.
  std::shared_ptr<const Opened> Find(const std::string& name, uint64_t offset, uint64_t size,
                                     Status& status) const;

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Opened>> regions_;
};

}  // namespace ingot::serve
