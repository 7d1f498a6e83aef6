// Encoding and decoding: see tokenizer.h. Reading and writing files: tokenizer_json.cc.
#include "ingot/formats/tokenizer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "ingot/base/error.h"
#include "ingot/formats/pre_tokenizer.h"

namespace ingot::formats {

namespace {

constexpr uint32_t kNone = 0xFFFFFFFF;
// Pieces that an encoder remembers, and how long they may be.
constexpr size_t kRememberedPieces = 1 << 16;
constexpr size_t kRememberedBytes = 32;

uint64_t PairKey(uint32_t left, uint32_t right) {
  return static_cast<uint64_t>(left) << 32 | right;
}

struct Ranked {
  uint32_t rank = kNone;
  uint32_t result = 0;
};

}  // namespace

struct Tokenizer::State {
  TokenizerParts parts;
  std::array<uint32_t, 256> byte_tokens{};
  std::unordered_map<uint64_t, Ranked> merges;
  std::unordered_map<std::string, uint32_t> numbers;      // for ignore_merges
  std::array<std::vector<const AddedToken*>, 256> added;  // by first byte, longest first
  std::vector<bool> special;                              // by number

  Ranked Find(uint32_t left, uint32_t right) const {
    const auto found = merges.find(PairKey(left, right));
    return found == merges.end() ? Ranked{} : found->second;
  }
};

Tokenizer::Tokenizer(TokenizerParts parts) {
  auto state = std::make_shared<State>();
  state->parts = std::move(parts);
  const std::vector<std::string>& tokens = state->parts.tokens;
  const auto check = [&](uint32_t id, const char* what) {
    if (id < tokens.size() && !tokens[id].empty()) return;
    throw Error(ErrorCode::kInvalidInput, std::string(what) + " names token " + std::to_string(id) +
                                              ", which the vocabulary does not have");
  };
  state->byte_tokens.fill(kNone);
  state->special.resize(tokens.size());
  for (const AddedToken& token : state->parts.added) {
    check(token.id, "an added token");
    if (token.content.empty()) continue;
    state->special[token.id] = token.special;
    state->added[static_cast<uint8_t>(token.content[0])].push_back(&token);
  }
  for (std::vector<const AddedToken*>& list : state->added) {
    std::stable_sort(list.begin(), list.end(), [](const AddedToken* a, const AddedToken* b) {
      return a->content.size() > b->content.size();
    });
  }
  for (uint32_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].size() == 1 && !state->special[id]) {
      state->byte_tokens[static_cast<uint8_t>(tokens[id][0])] = id;
    }
    if (state->parts.ignore_merges) state->numbers.emplace(tokens[id], id);
  }
  uint32_t rank = 0;
  for (const TokenizerParts::Merge& merge : state->parts.merges) {
    for (const uint32_t id : {merge.left, merge.right, merge.result}) check(id, "a merge");
    state->merges.emplace(PairKey(merge.left, merge.right), Ranked{rank++, merge.result});
  }
  state_ = std::move(state);
}

Tokenizer Tokenizer::Bytes() {
  TokenizerParts parts;
  for (int b = 0; b < 256; ++b) parts.tokens.emplace_back(1, static_cast<char>(b));
  parts.split = false;
  return Tokenizer(std::move(parts));
}

int64_t Tokenizer::vocabulary() const {
  return static_cast<int64_t>(state_->parts.tokens.size());
}

const TokenizerParts& Tokenizer::parts() const {
  return state_->parts;
}

bool Tokenizer::is_bytes() const {
  const TokenizerParts& parts = state_->parts;
  if (parts.tokens.size() != 256 || !parts.merges.empty() || !parts.added.empty()) return false;
  for (uint32_t b = 0; b < 256; ++b) {
    if (state_->byte_tokens[b] != b) return false;
  }
  return !parts.add_prefix_space;
}

// The buffers of one call of Encode.
class Tokenizer::Encoder {
 public:
  Encoder(const State& state, const std::function<void(std::span<const uint32_t>)>& sink)
      : state_(state), sink_(sink) {}

  void Run(std::string_view text) {
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
      const AddedToken* token = AddedAt(text, at);
      if (token == nullptr) {
        ++at;
        continue;
      }
      Ordinary(text.substr(begin, at - begin));
      sink_({&token->id, 1});
      at += token->content.size();
      begin = at;
    }
    Ordinary(text.substr(begin));
  }

 private:
  // A place where two neighbours may merge; stale where they changed since.
  struct Candidate {
    uint32_t rank;
    uint32_t at;
    uint32_t result;
    uint32_t left;
    uint32_t right;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  struct Symbol {
    uint32_t id;
    uint32_t before;
    uint32_t behind;
  };

  const AddedToken* AddedAt(std::string_view text, size_t at) const {
    for (const AddedToken* token : state_.added[static_cast<uint8_t>(text[at])]) {
      if (text.compare(at, token->content.size(), token->content) == 0) return token;
    }
    return nullptr;
  }

  // Text without added tokens.
  void Ordinary(std::string_view text) {
    if (text.empty()) return;
    std::string with_space;
    if (state_.parts.add_prefix_space && text[0] != ' ') {
      with_space = " " + std::string(text);
      text = with_space;
    }
    if (state_.parts.merges.empty() && !state_.parts.ignore_merges) return Plain(text);
    for (size_t at = 0; at < text.size();) {
      const size_t length = state_.parts.split ? PieceLength(text, at) : text.size();
      Piece(text.substr(at, length));
      at += length;
    }
  }

  uint32_t TokenOf(char c) const {
    const uint32_t id = state_.byte_tokens[static_cast<uint8_t>(c)];
    if (id != kNone) return id;
    throw Error(ErrorCode::kInvalidInput,
                "the tokenizer's vocabulary has no token for byte " +
                    std::to_string(static_cast<int>(static_cast<uint8_t>(c))),
                "a tokenizer trained with the whole byte-level alphabet has them all");
  }

  void Plain(std::string_view text) {
    constexpr size_t kPiece = 65536;
    for (size_t at = 0; at < text.size(); at += kPiece) {
      ids_.clear();
      for (const char c : text.substr(at, kPiece)) ids_.push_back(TokenOf(c));
      sink_(ids_);
    }
  }

  void Piece(std::string_view piece) {
    if (state_.parts.ignore_merges) {
      if (const auto found = state_.numbers.find(std::string(piece));
          found != state_.numbers.end()) {
        return sink_({&found->second, 1});
      }
    }
    if (piece.size() > kRememberedBytes) {
      Merge(piece);
      return sink_(ids_);
    }
    key_.assign(piece);
    auto found = remembered_.find(key_);
    if (found == remembered_.end()) {
      Merge(piece);
      if (remembered_.size() >= kRememberedPieces) remembered_.clear();
      found = remembered_.emplace(key_, ids_).first;
    }
    sink_(found->second);
  }

  void Push(uint32_t at) {
    const uint32_t behind = symbols_[at].behind;
    if (at == kNone || behind == kNone) return;
    const Ranked ranked = state_.Find(symbols_[at].id, symbols_[behind].id);
    if (ranked.rank == kNone) return;
    queue_.push({ranked.rank, at, ranked.result, symbols_[at].id, symbols_[behind].id});
  }

  // Into ids_. Lowest rank first, leftmost among equals; n log n for a piece of n bytes.
  void Merge(std::string_view piece) {
    symbols_.clear();
    for (uint32_t i = 0; i < piece.size(); ++i) {
      symbols_.push_back(
          {TokenOf(piece[i]), i == 0 ? kNone : i - 1, i + 1 == piece.size() ? kNone : i + 1});
    }
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) Push(i);
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      Symbol& left = symbols_[best.at];
      if (left.id != best.left || left.behind == kNone) continue;
      Symbol& right = symbols_[left.behind];
      if (right.id != best.right) continue;
      left.id = best.result;
      right.id = kNone;
      left.behind = right.behind;
      if (left.behind != kNone) symbols_[left.behind].before = best.at;
      Push(best.at);
      if (left.before != kNone) Push(left.before);
    }
    ids_.clear();
    for (uint32_t i = 0; i != kNone; i = symbols_[i].behind) ids_.push_back(symbols_[i].id);
  }

  const State& state_;
  const std::function<void(std::span<const uint32_t>)>& sink_;
  std::unordered_map<std::string, std::vector<uint32_t>> remembered_;
  std::string key_;
  std::vector<uint32_t> ids_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue_;
};

std::vector<uint32_t> Tokenizer::Encode(std::string_view text) const {
  std::vector<uint32_t> tokens;
  Encode(text, [&tokens](std::span<const uint32_t> piece) {
    tokens.insert(tokens.end(), piece.begin(), piece.end());
  });
  return tokens;
}

void Tokenizer::Encode(std::string_view text,
                       const std::function<void(std::span<const uint32_t>)>& sink) const {
  if (text.size() >= kNone) {
    throw Error(ErrorCode::kUnsupported, "text of 4 GiB and more", "cut it into several files");
  }
  Encoder(*state_, sink).Run(text);
}

std::string Tokenizer::Decode(std::span<const uint32_t> tokens, bool skip_special) const {
  std::string text;
  for (const uint32_t id : tokens) {
    if (id >= state_->parts.tokens.size() || state_->parts.tokens[id].empty()) {
      throw Error(ErrorCode::kInvalidInput, "there is no token " + std::to_string(id) +
                                                " in a vocabulary of " +
                                                std::to_string(vocabulary()));
    }
    if (!(skip_special && state_->special[id])) text += state_->parts.tokens[id];
  }
  return text;
}

}  // namespace ingot::formats
