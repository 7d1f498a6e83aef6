// PackedWeights: constant operands in the layout that kernels want, packed once and shared by all
// kernels, plans and sessions that are given the same PackedWeights.
//
// Safe for use by several threads. What nobody uses any more is freed.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "ingot/tensor/tensor.h"

namespace ingot::cpu {

class PackedWeights {
 public:
  // `bytes` bytes that `pack` wrote for this source and layout; packed at the first call. `layout`
  // names what the bytes depend on besides the source's values.
  std::shared_ptr<const std::byte> Get(const Tensor& source, const std::string& layout,
                                       size_t bytes, const std::function<void(std::byte*)>& pack);

  // Of all that is in use.
  size_t bytes() const;

 private:
  struct Entry {
    std::weak_ptr<const std::byte> packed;
    size_t bytes = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<const std::byte*, std::string>, Entry> entries_;
};

}  // namespace ingot::cpu
