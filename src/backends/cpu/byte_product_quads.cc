// ByteProduct on quads: packing them, placing what they multiply, and walking around the tile.
//
// Packed are [QuadPlace of each panel], [sum of the weights and what masked quads add, of each
// output], and the panels one behind the other: where the quads begin in a row, those that stand as
// they are, and sizes and masks of the others. So a panel is as large as it needs to be.
#include <algorithm>
#include <cstring>
#include <vector>

#include "backends/cpu/byte_product.h"
#include "backends/cpu/quad_panel.h"

namespace ingot::cpu {
namespace {

// Pieces of 32 bytes, up to 31 more than there are.
void CopyPieces(const std::byte* from, int64_t count, std::byte* to) {
  for (int64_t i = 0; i < count; i += 32) std::memcpy(to + i, from + i, 32);
}

}  // namespace

int64_t ByteProduct::QuadDataBegin() const {
  return RoundUp(panels_ * static_cast<int64_t>(sizeof(QuadPlace)) + shape_.outputs * 8, 64);
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
  const QuadPanel quads(lines, ColumnsOf(panel), padded_);
  const QuadPlace place{begin, quads.plain(), quads.plain_twos(), quads.masked()};
  std::memcpy(to + panel * static_cast<int64_t>(sizeof(QuadPlace)), &place, sizeof(place));
  quads.WriteSums(
      reinterpret_cast<int32_t*>(to + panels_ * static_cast<int64_t>(sizeof(QuadPlace))) +
      2 * OutputOf(panel));
  std::byte* out = to + begin;
  std::memcpy(out, quads.order().data(), quads.order().size() * sizeof(int32_t));
  out += RoundUp(padded_, 64);
  quads.Write(WidthOf(panel), out);
  return begin + RoundUp(padded_, 64) + RoundUp(quads.bytes(WidthOf(panel)), 64);
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
      reinterpret_cast<const int32_t*>(packed + panels_ * static_cast<int64_t>(sizeof(QuadPlace))) +
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
  QuadPlace place;
  std::memcpy(&place, packed + panel * static_cast<int64_t>(sizeof(QuadPlace)), sizeof(place));
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
