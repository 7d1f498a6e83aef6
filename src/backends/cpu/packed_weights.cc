// The register of packed constants.
#include "backends/cpu/packed_weights.h"

namespace ingot::cpu {

std::shared_ptr<const std::byte> PackedWeights::Get(const Tensor& source, const std::string& layout,
                                                    size_t bytes,
                                                    const std::function<void(std::byte*)>& pack) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::pair key{source.raw(), layout};
  const auto known = entries_.find(key);
  if (known != entries_.end()) {
    if (auto packed = known->second.packed.lock()) return packed;
  }
  std::erase_if(entries_, [](const auto& entry) { return entry.second.packed.expired(); });
  std::shared_ptr<std::byte> memory = AllocateBytes(bytes);
  pack(memory.get());
  // The source lives as long as what was packed from it: its address stays its own.
  std::shared_ptr<const std::byte> packed(memory.get(), [memory, source](const std::byte*) {});
  entries_[key] = {packed, bytes};
  return packed;
}

size_t PackedWeights::bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t total = 0;
  for (const auto& entry : entries_) {
    if (!entry.second.packed.expired()) total += entry.second.bytes;
  }
  return total;
}

}  // namespace ingot::cpu
