// Constant operands in the layout that kernels want, packed once.
//
// WeightStore holds them for all sessions of a process: equal weights that want the same layout are
// packed once, whoever loads them, and freed with their last user. PackedWeights is the view that
// one executor has of a store: it can put off the packing of a whole plan and have it done by
// several threads.
//
// What is packed from a mapped file gives its pages back to the system at once: they are read again
// from the file should another layout be wanted.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "ingot/runtime/team.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {

using PackFunction = std::function<void(std::byte*)>;

// Safe for use by several threads.
class WeightStore {
 public:
  // Of one source in one layout.
  class Entry {
   public:
    const std::byte* data() const { return memory_.get(); }
    size_t bytes() const { return bytes_; }
    // Packs at the first call; returns when it is done.
    void Pack();

   private:
    friend class WeightStore;
    std::shared_ptr<std::byte> memory_;
    size_t bytes_ = 0;
    Tensor source_;  // lives as long: what comes later is compared with it
    bool is_mapped_ = false;
    std::once_flag once_;
    PackFunction pack_;
  };

  // The entry of weights with this source's bytes, type and layout; a new one is in memory that
  // `allocate` gives. `layout` names what the bytes depend on besides the source's values.
  // `is_mapped`: the source views a mapped file that nobody writes to.
  std::shared_ptr<Entry> Get(const Tensor& source, bool is_mapped, const std::string& layout,
                             size_t bytes, PackFunction pack,
                             const std::function<std::shared_ptr<std::byte>(size_t)>& allocate);
  size_t entries() const;  // in use

 private:
  using Key = std::tuple<uint64_t, size_t, DType, std::string>;  // hash, bytes packed, type, layout

  mutable std::mutex mutex_;
  std::multimap<Key, std::weak_ptr<Entry>> entries_;
};

// Not safe for use by several threads at once.
class PackedWeights {
 public:
  explicit PackedWeights(std::shared_ptr<WeightStore> store = std::make_shared<WeightStore>());

  // Files that are mapped as long as this lives; sources that view them give their pages back.
  void AddMapped(std::span<const std::byte> file) { mapped_.push_back(file); }
  // About as many bytes will be packed: many are taken from the system at once.
  void Expect(size_t bytes) { expected_ = bytes; }

  // `bytes` bytes that `pack` wrote, or will write, for this source and layout. `pack` may be
  // called after this returns, but not after PackAll does; sources need not be aligned.
  std::shared_ptr<const std::byte> Get(const Tensor& source, const std::string& layout,
                                       size_t bytes, PackFunction pack);

  // From now on, until then, Get leaves the packing to PackAll.
  void Defer() {
    defers_ = true;
    pending_.clear();  // of a plan that was not finished
  }
  void PackAll(runtime::Team& team);

  // Whether Get was called for this source since the last ForgetAsked.
  bool WasAsked(const Tensor& source) const;
  void ForgetAsked() { asked_.clear(); }

  // Of all that is in use.
  size_t bytes() const;

 private:
  std::shared_ptr<std::byte> Allocate(size_t bytes);
  bool IsMapped(const Tensor& source) const;

  std::shared_ptr<WeightStore> store_;
  std::vector<std::span<const std::byte>> mapped_;
  size_t expected_ = 0;
  bool defers_ = false;
  std::vector<std::shared_ptr<WeightStore::Entry>> pending_;
  std::map<const WeightStore::Entry*, std::weak_ptr<WeightStore::Entry>> used_;
  std::vector<const std::byte*> asked_;
  // What the next allocations are cut from.
  std::shared_ptr<std::byte> slab_;
  size_t slab_used_ = 0, slab_bytes_ = 0;
};

}  // namespace ingot::cpu
