// Which records of a source cannot be read, found by reading all of them on all CPUs.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "ingot/base/error.h"

namespace ingot::data {

// read(record, out) for all of them, `bytes` being the room of `out`; what those threw that are
// damaged (kCorrupt, kUnsupported), by record. Throws what others throw.
std::vector<std::optional<Error>> FindDamaged(
    size_t records, size_t bytes, const std::function<void(size_t record, void* out)>& read);

}  // namespace ingot::data
