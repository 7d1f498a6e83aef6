// RecordCache: what was read of the first records of a source, kept in memory.
//
// Address space for all of them is taken at once, memory as they come. A record's bytes never
// change once they are there, so that readers need no lock; who comes while another thread writes
// reads the record itself. Safe from any number of threads; no allocation after construction.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ingot::data {

class RecordCache {
 public:
  // Records of `record_bytes` each, those of up to `most_bytes` of `records`.
  RecordCache(int64_t records, size_t record_bytes, uint64_t most_bytes);
  ~RecordCache();
  RecordCache(const RecordCache&) = delete;
  RecordCache& operator=(const RecordCache&) = delete;

  // Copies the record to `out` where it is here.
  bool Get(int64_t record, void* out) const;
  // Keeps the record where there is room for it and no other thread is writing it.
  void Put(int64_t record, const void* bytes);
  // Numbers the records anew: those that `goes` is true for are gone, the rest follow each other.
  // Not while another thread reads or writes.
  void Remove(const std::vector<bool>& goes);

 private:
  enum State : uint8_t { kEmpty, kWriting, kReady };

  std::byte* At(int64_t record) const {
    return data_ + static_cast<size_t>(record) * record_bytes_;
  }

  size_t record_bytes_ = 0;
  int64_t capacity_ = 0;  // records
  std::byte* data_ = nullptr;
  std::unique_ptr<std::atomic<uint8_t>[]> states_;
};

}  // namespace ingot::data
