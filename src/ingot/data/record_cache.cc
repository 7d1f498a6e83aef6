// An anonymous mapping that grows as it is written to.
#include "ingot/data/record_cache.h"

#include <algorithm>
#include <cstring>

#include <sys/mman.h>

namespace ingot::data {

RecordCache::RecordCache(int64_t records, size_t record_bytes, uint64_t most_bytes)
    : record_bytes_(record_bytes) {
  const auto room = static_cast<int64_t>(most_bytes / std::max<size_t>(record_bytes, 1));
  const int64_t wanted = std::min(records, room);
  if (wanted <= 0 || record_bytes == 0) return;
  void* mapped = ::mmap(nullptr, static_cast<size_t>(wanted) * record_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  // Without room there is nothing to keep records in: they are read every time.
  if (mapped == MAP_FAILED) return;
  capacity_ = wanted;
  data_ = static_cast<std::byte*>(mapped);
  states_ = std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(wanted));
}

RecordCache::~RecordCache() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(capacity_) * record_bytes_);
}

bool RecordCache::Get(int64_t record, void* out) const {
  if (record >= capacity_) return false;
  if (states_[static_cast<size_t>(record)].load(std::memory_order_acquire) != kReady) return false;
  std::memcpy(out, At(record), record_bytes_);
  return true;
}

void RecordCache::Put(int64_t record, const void* bytes) {
  if (record >= capacity_) return;
  std::atomic<uint8_t>& state = states_[static_cast<size_t>(record)];
  uint8_t empty = kEmpty;
  if (!state.compare_exchange_strong(empty, kWriting, std::memory_order_relaxed)) return;
  std::memcpy(At(record), bytes, record_bytes_);
  state.store(kReady, std::memory_order_release);
}

void RecordCache::Remove(const std::vector<bool>& goes) {
  int64_t to = 0;
  for (int64_t from = 0; from < capacity_; ++from) {
    if (goes[static_cast<size_t>(from)]) continue;
    std::atomic<uint8_t>& state = states_[static_cast<size_t>(from)];
    if (to != from) {
      const uint8_t moved = state.exchange(kEmpty, std::memory_order_relaxed);
      if (moved == kReady) std::memcpy(At(to), At(from), record_bytes_);
      states_[static_cast<size_t>(to)].store(moved, std::memory_order_relaxed);
    }
    ++to;
  }
  for (; to < capacity_; ++to)
    states_[static_cast<size_t>(to)].store(kEmpty, std::memory_order_relaxed);
}

}  // namespace ingot::data
