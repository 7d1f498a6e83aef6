// Which records of a source cannot be read, found by reading all of them on all CPUs.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/error.h"

namespace ingot::data {

// Whether it says that a record is damaged (kCorrupt, kUnsupported); other errors are the job's.
inline bool IsDamage(const Error& error) {
  return error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kUnsupported;
}

// read(record) of the first of them; where `skips`, of the first that is not damaged. Throws what
// `read` does, and Error(kCorrupt) where all are damaged.
template <typename Read>
auto ReadFirst(size_t records, bool skips, const Read& read) {
  std::string first;
  for (size_t record = 0; record < records; ++record) {
    try {
      return read(record);
    } catch (const Error& error) {
      if (!skips || !IsDamage(error)) throw;
      if (first.empty()) first = error.message();
    }
  }
  throw Error(ErrorCode::kCorrupt, "every sample is damaged; the first: " + first);
}

// read(record, out) for all of them, `bytes` being the room of `out`; what those threw that are
// damaged, by record. Throws what others throw.
std::vector<std::optional<Error>> FindDamaged(
    size_t records, size_t bytes, const std::function<void(size_t record, void* out)>& read);

}  // namespace ingot::data
