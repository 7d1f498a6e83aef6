// Counts pieces once, then keeps the counts of pairs up to date from merge to merge.
#include "ingot/formats/bpe_training.h"

#include <algorithm>
#include <array>
#include <map>
#include <queue>
#include <string>
#include <unordered_map>

#include "ingot/base/error.h"
#include "ingot/formats/pre_tokenizer.h"

namespace ingot::formats {

namespace {

constexpr int64_t kByteValues = 256;

struct Piece {
  std::vector<uint32_t> symbols;
  int64_t count = 0;
};

class Trainer {
 public:
  Trainer(std::string_view text, const BpeLimits& limits) {
    for (uint32_t b = 0; b < kByteValues; ++b) order_[b] = b;
    std::sort(order_.begin(), order_.end(),
              [](uint32_t a, uint32_t b) { return ByteCharacters()[a] < ByteCharacters()[b]; });
    for (uint32_t id = 0; id < kByteValues; ++id) {
      number_[order_[id]] = id;
      parts_.tokens.emplace_back(1, static_cast<char>(order_[id]));
    }
    CountPieces(text.substr(0, limits.text_bytes), limits.distinct_pieces);
    for (size_t p = 0; p < pieces_.size(); ++p) {
      const Piece& piece = pieces_[p];
      for (size_t i = 0; i + 1 < piece.symbols.size(); ++i) {
        Change(piece.symbols[i], piece.symbols[i + 1], piece.count, p);
      }
    }
    for (const auto& [pair, state] : pairs_) queue_.push({state.count, pair});
  }

  Tokenizer Run(int64_t vocabulary, int64_t minimum_count) {
    while (static_cast<int64_t>(parts_.tokens.size()) < vocabulary && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const int64_t count = pairs_[best.pair].count;
      if (count != best.count) {
        // It has changed since it was queued.
        if (count > 0) queue_.push({count, best.pair});
        continue;
      }
      if (count < minimum_count) break;
      Merge(best.pair);
    }
    return Tokenizer(std::move(parts_));
  }

 private:
  using Pair = std::pair<uint32_t, uint32_t>;
  struct Candidate {
    int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  struct PairState {
    int64_t count = 0;
    std::vector<size_t> pieces;  // where it may occur
  };

  void CountPieces(std::string_view text, size_t most) {
    std::unordered_map<std::string_view, size_t> known;
    for (size_t at = 0; at < text.size();) {
      const std::string_view piece = text.substr(at, PieceLength(text, at));
      at += piece.size();
      auto found = known.find(piece);
      if (found == known.end()) {
        if (known.size() >= most) continue;
        found = known.emplace(piece, pieces_.size()).first;
        pieces_.emplace_back();
        for (const char c : piece) {
          pieces_.back().symbols.push_back(number_[static_cast<uint8_t>(c)]);
        }
      }
      ++pieces_[found->second].count;
    }
  }

  void Change(uint32_t left, uint32_t right, int64_t by, size_t piece) {
    PairState& state = pairs_[{left, right}];
    state.count += by;
    if (by > 0 && (state.pieces.empty() || state.pieces.back() != piece)) {
      state.pieces.push_back(piece);
    }
  }

  void Merge(Pair pair) {
    const auto result = static_cast<uint32_t>(parts_.tokens.size());
    parts_.tokens.push_back(parts_.tokens[pair.first] + parts_.tokens[pair.second]);
    parts_.merges.push_back({pair.first, pair.second, result});
    std::vector<size_t> where = std::move(pairs_[pair].pieces);
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    for (const size_t p : where) MergeIn(p, pair, result);
    pairs_.erase(pair);
    // Only pairs with the new token can have become more frequent.
    for (const Pair& grown : grown_) queue_.push({pairs_[grown].count, grown});
    grown_.clear();
  }

  void MergeIn(size_t p, Pair pair, uint32_t result) {
    Piece& piece = pieces_[p];
    std::vector<uint32_t>& symbols = piece.symbols;
    size_t to = 0;
    for (size_t i = 0; i < symbols.size(); ++i) {
      const bool here =
          i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
      if (!here) {
        symbols[to++] = symbols[i];
        continue;
      }
      if (to > 0) {
        Change(symbols[to - 1], pair.first, -piece.count, p);
        Change(symbols[to - 1], result, piece.count, p);
        grown_.push_back({symbols[to - 1], result});
      }
      if (i + 2 < symbols.size()) {
        Change(pair.second, symbols[i + 2], -piece.count, p);
        Change(result, symbols[i + 2], piece.count, p);
        grown_.push_back({result, symbols[i + 2]});
      }
      symbols[to++] = result;
      ++i;
    }
    symbols.resize(to);
  }

  TokenizerParts parts_;
  std::array<uint32_t, kByteValues> order_{};   // bytes by their number as tokens
  std::array<uint32_t, kByteValues> number_{};  // the inverse
  std::vector<Piece> pieces_;
  std::map<Pair, PairState> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> grown_;
};

}  // namespace

Tokenizer TrainBpe(std::string_view text, int64_t vocabulary, int64_t minimum_count,
                   const BpeLimits& limits) {
  if (vocabulary < kByteValues) {
    throw Error(ErrorCode::kInvalidInput,
                "a vocabulary of " + std::to_string(vocabulary) + " tokens cannot hold all bytes",
                "give at least 256");
  }
  return Trainer(text, limits).Run(vocabulary, minimum_count);
}

}  // namespace ingot::formats
