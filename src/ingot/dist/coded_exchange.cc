// Exchanges of coded values: see coded_exchange.h.
#include "ingot/dist/coded_exchange.h"

#include <algorithm>
#include <cstring>

namespace ingot::dist {
namespace {

enum CodedPhase : int { kPartial = 0, kSum = 1, kSparse = 2 };

constexpr uint64_t kCodedRangeUnit = 16;  // elements

}  // namespace

void CodedExchange::Run(const ExchangePlan& plan, std::byte* shared, Link& link) {
  coder_ = Coder(plan.top_k);
  SumOwn(plan, shared);
  auto* reduced = reinterpret_cast<float*>(shared + plan.reduced + plan.plain_bytes);
  if (size_ == 1) {
    std::copy(own_.begin(), own_.end(), reduced);  // nothing goes over a wire
    return;
  }
  std::fill(reduced, reduced + own_.size(), 0.0f);
  RunRounded(plan, reduced, link);
  RunSparse(plan, reduced, link);
}

void CodedExchange::SumOwn(const ExchangePlan& plan, const std::byte* shared) {
  const uint64_t bytes = plan.bytes - plan.plain_bytes;
  own_.resize(bytes / sizeof(float));
  for (int s = 0; s < plan.subtrees_of(rank_); ++s) {
    const std::byte* partial =
        shared + plan.partials + static_cast<uint64_t>(s) * plan.bytes + plan.plain_bytes;
    auto* own = reinterpret_cast<std::byte*>(own_.data());
    if (s == 0) {
      std::memcpy(own, partial, bytes);
    } else {
      AddValues(DType::kF32, own, own, partial, bytes);
    }
  }
}

// The sparse segments, or what of the others lies in the range of a rank.
std::vector<CodedExchange::Piece> CodedExchange::PiecesOf(const ExchangePlan& plan, bool sparse,
                                                          int rank) const {
  const uint64_t units = (own_.size() + kCodedRangeUnit - 1) / kCodedRangeUnit;
  const auto at = [&](int r) {
    return units * static_cast<uint64_t>(r) / static_cast<uint64_t>(size_) * kCodedRangeUnit;
  };
  std::vector<Piece> pieces;
  for (const ExchangePlan::Segment& segment : plan.segments) {
    if (segment.codec == Codec::kPlain || KeepsResidual(segment.codec) != sparse) continue;
    uint64_t begin = (segment.offset - plan.plain_bytes) / sizeof(float);
    uint64_t end = begin + segment.bytes / sizeof(float);
    if (!sparse) {
      begin = std::max(begin, at(rank));
      end = std::min(end, at(rank + 1));
    }
    if (begin < end) pieces.push_back({segment.codec, &segment.name, begin, end - begin});
  }
  return pieces;
}

uint64_t CodedExchange::BytesOf(const std::vector<Piece>& pieces) const {
  uint64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += coder_.Bytes(piece.codec, piece.elements);
  return bytes;
}

void CodedExchange::Encode(const std::vector<Piece>& pieces, const float* values, std::byte* out) {
  for (const Piece& piece : pieces) {
    coder_.Encode(piece.codec, values + piece.begin, piece.elements, out);
    out += coder_.Bytes(piece.codec, piece.elements);
  }
}

void CodedExchange::AddDecoded(const std::vector<Piece>& pieces, const std::byte* in,
                               float* values) const {
  for (const Piece& piece : pieces) {
    coder_.AddDecoded(piece.codec, in, piece.elements, values + piece.begin);
    in += coder_.Bytes(piece.codec, piece.elements);
  }
}

void CodedExchange::RunRounded(const ExchangePlan& plan, float* reduced, Link& link) {
  const auto size = static_cast<size_t>(size_);
  const std::vector<Piece> own = PiecesOf(plan, false, rank_);
  const uint64_t own_bytes = BytesOf(own);
  std::vector<std::vector<std::byte>> partials(size), parts(size), sums(size);
  std::vector<Pending> partials_coming, sums_coming, sent;
  for (int i = 1; i < size_; ++i) {
    const int peer = (rank_ + i) % size_;
    const std::vector<Piece> pieces = PiecesOf(plan, false, peer);
    std::vector<std::byte>& part = parts[static_cast<size_t>(peer)];
    part.resize(BytesOf(pieces));
    Encode(pieces, own_.data(), part.data());
    std::vector<std::byte>& partial = partials[static_cast<size_t>(peer)];
    std::vector<std::byte>& sum = sums[static_cast<size_t>(peer)];
    partial.resize(own_bytes);
    sum.resize(part.size());
    if (own_bytes > 0) {
      partials_coming.push_back(
          {link.StartReceive(peer, kPartial, partial.data(), own_bytes), peer});
    }
    if (part.empty()) continue;
    sums_coming.push_back({link.StartReceive(peer, kSum, sum.data(), sum.size()), peer});
    sent.push_back({link.StartSend(peer, kPartial, part.data(), part.size()), peer});
  }
  for (const Pending& pending : partials_coming) link.WaitFor(*pending.message, pending.peer);
  for (int rank = 0; rank < size_; ++rank) {
    if (rank != rank_) {
      AddDecoded(own, partials[static_cast<size_t>(rank)].data(), reduced);
      continue;
    }
    for (const Piece& piece : own) {
      for (uint64_t i = piece.begin; i < piece.begin + piece.elements; ++i) reduced[i] += own_[i];
    }
  }
  // All have the rounded sum, the owner too.
  std::vector<std::byte>& sum = sums[static_cast<size_t>(rank_)];
  sum.resize(own_bytes);
  Encode(own, reduced, sum.data());
  for (const Piece& piece : own) {
    std::fill_n(reduced + piece.begin, piece.elements, 0.0f);
  }
  for (int i = 1; i < size_ && own_bytes > 0; ++i) {
    const int peer = (rank_ + i) % size_;
    sent.push_back({link.StartSend(peer, kSum, sum.data(), sum.size()), peer});
  }
  for (const Pending& pending : sums_coming) link.WaitFor(*pending.message, pending.peer);
  for (int rank = 0; rank < size_; ++rank) {
    AddDecoded(PiecesOf(plan, false, rank), sums[static_cast<size_t>(rank)].data(), reduced);
  }
  for (const Pending& pending : sent) link.WaitFor(*pending.message, pending.peer);
}

void CodedExchange::RunSparse(const ExchangePlan& plan, float* reduced, Link& link) {
  const std::vector<Piece> pieces = PiecesOf(plan, true, rank_);
  if (pieces.empty()) return;
  AddResiduals(pieces);
  const uint64_t bytes = BytesOf(pieces);
  std::vector<std::vector<std::byte>> values(static_cast<size_t>(size_),
                                             std::vector<std::byte>(bytes));
  std::vector<std::byte>& own = values[static_cast<size_t>(rank_)];
  Encode(pieces, own_.data(), own.data());
  std::vector<Pending> coming, sent;
  for (int i = 1; i < size_; ++i) {
    const int peer = (rank_ + i) % size_;
    std::vector<std::byte>& from = values[static_cast<size_t>(peer)];
    coming.push_back({link.StartReceive(peer, kSparse, from.data(), bytes), peer});
    sent.push_back({link.StartSend(peer, kSparse, own.data(), bytes), peer});
  }
  KeepResiduals(pieces, own.data());
  for (const Pending& pending : coming) link.WaitFor(*pending.message, pending.peer);
  for (const std::vector<std::byte>& from : values) AddDecoded(pieces, from.data(), reduced);
  for (const Pending& pending : sent) link.WaitFor(*pending.message, pending.peer);
}

void CodedExchange::AddResiduals(const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    std::vector<float>& residual = residuals_[*piece.name];
    residual.resize(piece.elements);
    for (uint64_t i = 0; i < piece.elements; ++i) own_[piece.begin + i] += residual[i];
  }
}

void CodedExchange::KeepResiduals(const std::vector<Piece>& pieces, const std::byte* sent) {
  for (const Piece& piece : pieces) {
    std::vector<float>& residual = residuals_[*piece.name];
    std::fill(residual.begin(), residual.end(), 0.0f);
    coder_.AddDecoded(piece.codec, sent, piece.elements, residual.data());
    for (uint64_t i = 0; i < piece.elements; ++i) {
      residual[i] = own_[piece.begin + i] - residual[i];
    }
    sent += coder_.Bytes(piece.codec, piece.elements);
  }
}

}  // namespace ingot::dist
