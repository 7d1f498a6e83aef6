// ByteProduct on quads: packing them, placing what they multiply, and walking around the tile.
//
// Packed are [QuadPanel of each panel], [sum of the weights and what masked quads add, of each
// output], and the panels one behind the other: where the quads begin in a row, those that stand as
// they are, and sizes and masks of the others. So a panel is as large as it needs to be.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "backends/cpu/byte_product.h"

namespace ingot::cpu {
namespace {

// How far the pairs of a panel's quads reach, whatever the bytes they meet: the sums of what is
// above zero and below it, of each pair.
class QuadReach {
 public:
  QuadReach(const int16_t* lines, int64_t columns, int64_t depth)
      : pairs_(static_cast<size_t>(2 * columns)) {
    above_.resize(static_cast<size_t>(depth / 4) * pairs_);
    below_.resize(above_.size());
    size_t at = 0;
    for (int64_t k = 0; k < depth; k += 4) {
      for (int64_t j = 0; j < columns; ++j) {
        for (const int16_t* w = lines + j * depth + k; w < lines + j * depth + k + 4; w += 2) {
          above_[at] = static_cast<int16_t>(std::max<int>(w[0], 0) + std::max<int>(w[1], 0));
          below_[at++] = static_cast<int16_t>(std::min<int>(w[0], 0) + std::min<int>(w[1], 0));
        }
      }
    }
  }

  // Whether pairs of products with bytes stay below 2^15 in size: of the quad at k, or of its and
  // another's together.
  bool IsPlain(int32_t k) const {
    return Holds([&](size_t i) { return std::max(above_[At(k) + i], Below(k, i)) <= 128; });
  }
  bool Fit(int32_t k, int32_t other) const {
    return Holds([&](size_t i) {
      return above_[At(k) + i] + above_[At(other) + i] <= 128 &&
             Below(k, i) + Below(other, i) <= 128;
    });
  }

 private:
  template <typename Test>
  bool Holds(const Test& test) const {
    for (size_t i = 0; i < pairs_; ++i) {
      if (!test(i)) return false;
    }
    return true;
  }
  size_t At(int32_t k) const { return static_cast<size_t>(k / 4) * pairs_; }
  int16_t Below(int32_t k, size_t i) const { return static_cast<int16_t>(-below_[At(k) + i]); }

  size_t pairs_;
  std::vector<int16_t> above_, below_;  // [quad][pair]
};

// Brings those that fit to the front, two by two, and says how many twos there are. Each looks at
// the few that follow it.
template <typename Fit>
int32_t FindTwos(std::vector<int32_t>& quads, const Fit& fit) {
  constexpr size_t kLooks = 8;
  std::vector<int32_t> twos, alone;
  std::vector<int32_t> left(quads.rbegin(), quads.rend());
  while (!left.empty()) {
    const int32_t k = left.back();
    left.pop_back();
    const auto last = left.rbegin() + static_cast<std::ptrdiff_t>(std::min(kLooks, left.size()));
    const auto found =
        std::find_if(left.rbegin(), last, [&](int32_t other) { return fit(k, other); });
    if (found == last) {
      alone.push_back(k);
      continue;
    }
    twos.insert(twos.end(), {k, *found});
    left.erase(std::next(found).base());
  }
  const auto count = static_cast<int32_t>(twos.size() / 2);
  twos.insert(twos.end(), alone.begin(), alone.end());
  quads = std::move(twos);
  return count;
}

// Pieces of 32 bytes, up to 31 more than there are.
void CopyPieces(const std::byte* from, int64_t count, std::byte* to) {
  for (int64_t i = 0; i < count; i += 32) std::memcpy(to + i, from + i, 32);
}

}  // namespace

int64_t ByteProduct::QuadDataBegin() const {
  return RoundUp(panels_ * static_cast<int64_t>(sizeof(QuadPanel)) + shape_.outputs * 8, 64);
}

void ByteProduct::PackQuads(const std::function<void(int64_t output, int16_t* line)>& fill,
                            std::byte* to) const {
  std::vector<int16_t> lines(tiles_->width() * static_cast<size_t>(padded_));
  int64_t begin = QuadDataBegin();
  for (int64_t panel = 0; panel < panels_; ++panel) {
    for (int64_t j = 0; j < ColumnsOf(panel); ++j) {
      fill(OutputOf(panel) + j, lines.data() + j * padded_);  // zeros beyond the depth stay
    }
    begin = PackQuadPanel(panel, lines.data(), begin, to);
  }
}

int64_t ByteProduct::PackQuadPanel(int64_t panel, const int16_t* lines, int64_t begin,
                                   std::byte* to) const {
  const int64_t columns = ColumnsOf(panel), width = WidthOf(panel);
  const QuadReach reach(lines, columns, padded_);
  std::vector<int32_t> plain, masked;
  for (int32_t k = 0; k < padded_; k += 4) (reach.IsPlain(k) ? plain : masked).push_back(k);
  QuadPanel place;
  place.begin = begin;
  place.plain_twos = FindTwos(plain, [&](int32_t a, int32_t b) { return reach.Fit(a, b); });
  place.plain = static_cast<int32_t>(plain.size());
  place.masked = static_cast<int32_t>(masked.size());
  std::memcpy(to + panel * static_cast<int64_t>(sizeof(QuadPanel)), &place, sizeof(place));
  auto* sums = reinterpret_cast<int32_t*>(to + panels_ * static_cast<int64_t>(sizeof(QuadPanel))) +
               2 * OutputOf(panel);
  std::fill_n(sums, 2 * columns, 0);
  std::byte* out = to + begin;
  std::byte* next = out;
  for (const std::vector<int32_t>* places : {&plain, &masked}) {
    const auto bytes = std::as_bytes(std::span(*places));
    next = std::copy(bytes.begin(), bytes.end(), next);
  }
  out += RoundUp(padded_, 64);
  for (const int32_t k : plain) {
    std::memset(out, 0, static_cast<size_t>(width) * 4);
    for (int64_t i = 0; i < columns * 4; ++i) {
      const int16_t w = lines[i / 4 * padded_ + k + i % 4];
      out[i] = static_cast<std::byte>(w);
      sums[i / 4 * 2] += w;
    }
    out += width * 4;
  }
  for (const int32_t k : masked) {
    std::memset(out, 0, static_cast<size_t>(width) * 8);
    for (int64_t i = 0; i < columns * 4; ++i) {
      const int16_t w = lines[i / 4 * padded_ + k + i % 4];
      const int size = w < 0 ? -w : w;
      out[i] = static_cast<std::byte>(size);
      out[width * 4 + i] = w < 0 ? std::byte{0x7f} : std::byte{0x80};
      sums[i / 4 * 2] += w;
      sums[i / 4 * 2 + 1] += 128 * w + (w < 0 ? size : 0);
    }
    out += width * 8;
  }
  return begin + RoundUp(out - (to + begin), 64);
}

void ByteProduct::PlaceBytes(Stripe& stripe, int64_t group, const ByteOperands& operands) const {
  if (!gathers_ && IsDense() && !operands.x_signed && depth_ == padded_) {
    stripe.bytes = operands.x + stripe.first * shape_.channels + group * in_group_;
    stripe.bytes_row = shape_.channels;
    return;
  }
  stripe.bytes = reinterpret_cast<std::byte*>(stripe.wide);
  stripe.bytes_row = row_;
  CopyRows(stripe, group, operands);
}

void ByteProduct::CopyRows(const Stripe& stripe, int64_t group,
                           const ByteOperands& operands) const {
  std::byte* to = reinterpret_cast<std::byte*>(stripe.wide);
  for (int64_t i = 0; i < stripe.rows;) {
    GatherRowsCall pieces;
    const int64_t found =
        gathers_ ? FindPieces(operands.x, stripe.first + i, stripe.rows - i, pieces) : 0;
    for (int64_t row = 0; row < found; ++row, to += row_) {
      const std::byte* from = pieces.from + row * pieces.step;
      for (int64_t line = 0; line < pieces.lines; ++line, from += pieces.line) {
        CopyPieces(from, pieces.piece, to + line * pieces.piece);
      }
      if (operands.x_signed) CopyBytes(to, true, depth_, to);
    }
    i += found;
    if (found > 0) continue;
    Gather(stripe.first + i, group, operands, to);
    if (operands.x_signed) CopyBytes(to, true, depth_, to);
    to += row_;
    ++i;
  }
}

void ByteProduct::StartOfQuads(int64_t panel, const std::byte* packed, const ByteOperands& operands,
                               int32_t* start) const {
  const int64_t output = OutputOf(panel);
  const auto* sums =
      reinterpret_cast<const int32_t*>(packed + panels_ * static_cast<int64_t>(sizeof(QuadPanel))) +
      2 * output;
  const auto zero = static_cast<uint32_t>(operands.x_zero + (operands.x_signed ? 128 : 0));
  const int32_t* bias = operands.finish.bias;
  for (int64_t j = 0; j < ColumnsOf(panel); ++j) {
    const uint32_t first = bias == nullptr ? 0 : static_cast<uint32_t>(bias[output + j]);
    const auto sum = static_cast<uint32_t>(sums[2 * j]);
    start[j] = static_cast<int32_t>(first + static_cast<uint32_t>(sums[2 * j + 1]) - zero * sum);
  }
}

void ByteProduct::RunQuads(const Stripe& stripe, int64_t panel, const std::byte* packed,
                           const ByteTileCall& like) const {
  QuadPanel place;
  std::memcpy(&place, packed + panel * static_cast<int64_t>(sizeof(QuadPanel)), sizeof(place));
  const int64_t width = WidthOf(panel);
  QuadTileCall call;
  call.x = stripe.bytes;
  call.x_row = static_cast<size_t>(stripe.bytes_row);
  call.at = reinterpret_cast<const int32_t*>(packed + place.begin);
  call.plain = static_cast<size_t>(place.plain);
  call.plain_twos = static_cast<size_t>(place.plain_twos);
  call.masked = static_cast<size_t>(place.masked);
  call.plain_w = packed + place.begin + RoundUp(padded_, 64);
  call.masked_w = call.plain_w + place.plain * width * 4;
  call.start = like.start;
  call.sums = like.sums;
  call.sums_row = like.sums_row;
  call.finish = like.finish;
  call.to = like.to;
  call.to_row = like.to_row;
  call.columns = like.columns;
  const size_t vectors = static_cast<size_t>(width) / tiles_->lanes;
  call.tiles = static_cast<size_t>(stripe.rows) / kMostQuadRows;
  if (call.tiles > 0) quads_->run[kMostQuadRows - 1][vectors - 1](call);
  const size_t done = call.tiles * kMostQuadRows, rest = static_cast<size_t>(stripe.rows) - done;
  if (rest == 0) return;
  call.tiles = 1;
  call.x += done * call.x_row;
  call.sums += done * call.sums_row;
  if (call.to != nullptr) call.to += done * call.to_row;
  quads_->run[rest - 1][vectors - 1](call);
}

}  // namespace ingot::cpu
