// The store of packed constants, and the memory that they lie in.
#include "backends/cpu/packed_weights.h"

#include <algorithm>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

namespace ingot::cpu {
namespace {

// Large models take their memory in pieces of this size, of which only what is written is used: so
// that the system can use large pages.
constexpr size_t kSlab = size_t{64} << 20;
constexpr size_t kWorthSlab = size_t{8} << 20;

// Of a few samples; what has the same hash is compared.
uint64_t HashOf(const Tensor& source) {
  constexpr size_t kSamples = 64, kStep = sizeof(uint64_t);
  uint64_t hash = 0xcbf29ce484222325ULL ^ source.bytes();
  const size_t bytes = source.bytes();
  for (size_t i = 0; i < kSamples && bytes >= kStep; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, source.raw() + (bytes - kStep) * i / (kSamples - 1), kStep);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 29;
  }
  for (size_t i = 0; bytes < kStep && i < bytes; ++i) {
    hash = hash * 257 + std::to_integer<uint64_t>(source.raw()[i]);
  }
  return hash;
}

// The whole pages within a source.
std::span<std::byte> PagesOf(const Tensor& source) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGE_SIZE));
  const auto begin = reinterpret_cast<uintptr_t>(source.raw());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + source.bytes()) / page * page;
  if (last <= first) return {};
  return {reinterpret_cast<std::byte*>(first), last - first};
}

// Reads the pages of a mapped file in one go. Nothing depends on its success.
void FetchPages(const Tensor& source) {
#ifdef MADV_POPULATE_READ
  const std::span<std::byte> pages = PagesOf(source);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_POPULATE_READ);
#else
  static_cast<void>(source);
#endif
}

// They stay in the system's cache of the file.
void ReleasePages(const Tensor& source) {
  const std::span<std::byte> pages = PagesOf(source);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

}  // namespace

void WeightStore::Entry::Pack() {
  std::call_once(once_, [this] {
    if (is_mapped_) FetchPages(source_);
    pack_(memory_.get());
    pack_ = nullptr;
    if (is_mapped_) ReleasePages(source_);
  });
}

std::shared_ptr<WeightStore::Entry> WeightStore::Get(
    const Tensor& source, bool is_mapped, const std::string& layout, size_t bytes,
    PackFunction pack, const std::function<std::shared_ptr<std::byte>(size_t)>& allocate) {
  const Key key{HashOf(source), bytes, source.dtype(), layout};
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto [begin, end] = entries_.equal_range(key);
  for (auto known = begin; known != end; ++known) {
    std::shared_ptr<Entry> entry = known->second.lock();
    if (entry == nullptr || entry->source_.shape() != source.shape()) continue;
    if (entry->source_.raw() == source.raw()) return entry;
    const bool same = std::memcmp(entry->source_.raw(), source.raw(), source.bytes()) == 0;
    if (is_mapped) ReleasePages(source);
    if (entry->is_mapped_) ReleasePages(entry->source_);
    if (same) return entry;
  }
  std::erase_if(entries_, [](const auto& each) { return each.second.expired(); });
  auto entry = std::make_shared<Entry>();
  entry->memory_ = allocate(bytes);
  entry->bytes_ = bytes;
  entry->source_ = source;
  entry->is_mapped_ = is_mapped;
  entry->pack_ = std::move(pack);
  entries_.emplace(key, entry);
  return entry;
}

size_t WeightStore::entries() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const auto& each) { return !each.second.expired(); }));
}

PackedWeights::PackedWeights(std::shared_ptr<WeightStore> store) : store_(std::move(store)) {}

bool PackedWeights::IsMapped(const Tensor& source) const {
  return std::any_of(mapped_.begin(), mapped_.end(), [&](std::span<const std::byte> file) {
    return source.raw() >= file.data() && source.raw() < file.data() + file.size();
  });
}

std::shared_ptr<std::byte> PackedWeights::Allocate(size_t bytes) {
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (expected_ < kWorthSlab || rounded > kSlab / 2) return AllocateBytes(rounded);
  if (slab_ == nullptr || slab_bytes_ - slab_used_ < rounded) {
    slab_ = AllocateBytes(kSlab);
    slab_bytes_ = kSlab;
    slab_used_ = 0;
  }
  std::shared_ptr<std::byte> memory(slab_, slab_.get() + slab_used_);
  slab_used_ += rounded;
  return memory;
}

std::shared_ptr<const std::byte> PackedWeights::Get(const Tensor& source, const std::string& layout,
                                                    size_t bytes, PackFunction pack) {
  asked_.push_back(source.raw());
  const std::shared_ptr<WeightStore::Entry> entry =
      store_->Get(source, IsMapped(source), layout, bytes, std::move(pack),
                  [this](size_t size) { return Allocate(size); });
  used_.insert_or_assign(entry.get(), entry);
  if (defers_) {
    pending_.push_back(entry);
  } else {
    entry->Pack();
  }
  return {entry, entry->data()};
}

void PackedWeights::PackAll(runtime::Team& team) {
  defers_ = false;
  slab_ = nullptr;
  slab_used_ = slab_bytes_ = 0;
  // The largest first, so that nobody is left with it at the end.
  std::stable_sort(pending_.begin(), pending_.end(),
                   [](const auto& a, const auto& b) { return a->bytes() > b->bytes(); });
  const std::vector<std::shared_ptr<WeightStore::Entry>> entries = std::move(pending_);
  pending_.clear();
  std::erase_if(used_, [](const auto& each) { return each.second.expired(); });
  team.ForEach(entries.size(), [&](size_t i, size_t) { entries[i]->Pack(); });
}

bool PackedWeights::WasAsked(const Tensor& source) const {
  return std::find(asked_.begin(), asked_.end(), source.raw()) != asked_.end();
}

size_t PackedWeights::bytes() const {
  size_t total = 0;
  for (const auto& each : used_) {
    if (const auto entry = each.second.lock()) total += entry->bytes();
  }
  return total;
}

}  // namespace ingot::cpu
