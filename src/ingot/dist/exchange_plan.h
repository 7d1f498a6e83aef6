// ExchangePlan: one exchange of a group of workers: which sums over the leaves of the fixed tree
// (shards, or replicas) go to whom, and where they lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ingot/dist/codec.h"
#include "ingot/dist/dealing.h"
#include "ingot/tensor/dtype.h"

namespace ingot::dist {

// What the workers tell each other with every exchange, as numbers that add up.
inline constexpr size_t kFlagFloats = 16;
inline constexpr size_t kFlagBytes = kFlagFloats * sizeof(float);

// Groups of a mesh do not all go through the same exchanges: each counts those of its own.
enum class Channel : uint8_t { kAll, kData, kTensor, kPipeline, kForward, kBackward };

// What a sum of several values over all leaves needs to know. The values lie packed one behind the
// other, after the flags; offsets are into the memory that is given to GroupExchange::Run.
struct ExchangePlan {
  struct Segment {
    std::string name;
    DType dtype = DType::kF32;
    uint64_t offset = 0;  // in the packed values
    uint64_t bytes = 0;
    Codec codec = Codec::kPlain;
  };
  struct Copy {
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t bytes = 0;
  };
  std::vector<Segment> segments;
  uint64_t bytes = 0;        // of one set of packed values
  uint64_t plain_bytes = 0;  // of those at its beginning that no codec writes
  // Sums behind this place go to one worker alone, each to the one that updates with them: rank r
  // to those from owned_begin[r] on, up to owned_begin[r + 1]. What comes before is for all.
  uint64_t common_bytes = 0;
  std::vector<uint64_t> owned_begin;  // empty: all is for all
  // Begun by its task, and ended by the one that ends all of a step.
  bool in_background = false;
  bool ends_background = false;
  double top_k = 0.01;       // of Codec::kTopK
  uint64_t partials = 0;     // where the sets of this worker's subtrees lie, one behind the other
  uint64_t reduced = 0;      // where the whole sums are wanted
  std::vector<Copy> copies;  // of whole sums, to where later tasks look for them
  std::vector<ShardRange> subtrees;  // of all workers
  std::vector<int> first_subtree;    // of each rank, and the number of all
  std::vector<TreeAddition> additions;
  // Of a group of a mesh: the ranks that take part, in whose order the leaves are dealt, and which
  // of them this worker is. Empty: all of them. What they tell each other is for all to hear, and
  // so is left out.
  std::vector<int> peers;
  int own = 0;
  Channel channel = Channel::kAll;

  // The rank of one of those that take part.
  int rank_of(int member) const {
    return peers.empty() ? member : peers[static_cast<size_t>(member)];
  }
  bool has_owned() const { return !owned_begin.empty(); }
  int subtrees_of(int rank) const {
    return first_subtree[static_cast<size_t>(rank) + 1] - first_subtree[static_cast<size_t>(rank)];
  }
  // Returns the index of the new segment. Plain ones come before those with a codec, which are f32.
  size_t AddSegment(std::string name, DType dtype, uint64_t value_bytes,
                    Codec codec = Codec::kPlain);
  // Places the whole sums at `at` and the sets of `rank` behind them; returns where those end.
  uint64_t Place(uint64_t at, int rank);
};

// A plan without values but the flags, for workers that hold these ranges of the leaves.
ExchangePlan MakeExchangePlan(const std::vector<ShardRange>& ranges, int leaves);

// What each worker has updated of the state tensors, on its way to all others.
struct GatherPlan {
  struct Piece {
    uint32_t state = 0;  // of the program
    int owner = 0;
    uint64_t begin = 0;  // bytes of the tensor
    uint64_t end = 0;
  };
  ExchangePlan flags;         // what workers tell each other with it
  std::vector<Piece> pieces;  // of each owner in the order of their states
  std::string name;
};

// sum = left + right, element by element; `sum` may be one of them. f32 and f64.
void AddValues(DType dtype, std::byte* sum, const std::byte* left, const std::byte* right,
               uint64_t bytes);

}  // namespace ingot::dist
