// Cutting, widening and walking around the tile.
#include "backends/cpu/byte_product.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace ingot::cpu {
namespace {

constexpr int64_t kStripeBytes = int64_t{1} << 17;  // of widened rows: in the second-level cache
constexpr int64_t kPanelBytes = int64_t{1} << 14;   // of weights: in the first-level cache
constexpr int64_t kMostRows = 192;
// Below this much work (in seconds, by a rough rate) a product stays on one thread.
constexpr double kWorthSharing = 12e-6;
constexpr double kMacsPerSecond = 60e9;
constexpr int64_t kTasksPerThread = 3;

}  // namespace

ByteProduct::ByteProduct(const ConvolutionShape& shape, Weights weights)
    : shape_(shape),
      tiles_(&ByteTiles()),
      quads_(weights == Weights::kBytes ? QuadTiles() : nullptr) {
  in_group_ = shape.channels / shape.groups;
  out_group_ = shape.outputs / shape.groups;
  const auto width = static_cast<int64_t>(tiles_->width());
  group_width_ = RoundUp(out_group_, static_cast<int64_t>(tiles_->lanes));
  panels_in_group_ = CeilDiv(out_group_, width);
  panels_ = panels_in_group_ * shape.groups;
  depth_ = shape.rows.kernel * shape.columns.kernel * in_group_;
  padded_ = RoundUp(depth_, 4);
  // A cache line more than there is: rows that lie a power of two apart push each other out.
  row_ = RoundUp(padded_, 32) + 32;
  if (quads_ != nullptr) row_ = RoundUp(padded_, 64) + 64;
  rows_ = std::clamp<int64_t>(kStripeBytes / RowBytes() / 4 * 4, 16, kMostRows);
  blocks_ = std::max<int64_t>(CeilDiv(padded_, kPanelBytes / (2 * width) / 4 * 4), 1);
  const auto fits = [](const ConvolutionAxis& axis) {
    return axis.kernel == 1 && axis.pad == 0 && (axis.output - 1) * axis.stride < axis.input;
  };
  gathers_ = !fits(shape.rows) || !fits(shape.columns);
}

ByteProduct ByteProduct::OfMatrices(int64_t m, int64_t k, int64_t n, Weights weights) {
  ConvolutionShape shape;
  shape.samples = 1;
  shape.channels = k;
  shape.outputs = n;
  shape.columns.input = shape.columns.output = m;
  return ByteProduct(shape, weights);
}

int64_t ByteProduct::ColumnsOf(int64_t panel) const {
  const auto width = static_cast<int64_t>(tiles_->width());
  return std::min(width, out_group_ - PlaceInGroup(panel) * width);
}

int64_t ByteProduct::WidthOf(int64_t panel) const {
  const auto width = static_cast<int64_t>(tiles_->width());
  return std::min(width, group_width_ - PlaceInGroup(panel) * width);
}

int64_t ByteProduct::OutputOf(int64_t panel) const {
  return GroupOf(panel) * out_group_ + PlaceInGroup(panel) * static_cast<int64_t>(tiles_->width());
}

int64_t ByteProduct::PanelBegin(int64_t panel) const {
  const auto width = static_cast<int64_t>(tiles_->width());
  return padded_ * (GroupOf(panel) * group_width_ + PlaceInGroup(panel) * width);
}

// The weights, and the inner product of each output with itself behind them.
size_t ByteProduct::packed_bytes() const {
  // At most; what is not needed of it is never touched.
  if (quads_ != nullptr) {
    return static_cast<size_t>(QuadDataBegin() + panels_ * (RoundUp(padded_, 64) + 64) +
                               2 * PanelBegin(panels_));
  }
  return static_cast<size_t>(InnerBegin() + shape_.outputs * 4);
}

int64_t ByteProduct::InnerBegin() const {
  return RoundUp(PanelBegin(panels_) * 2, 4);
}

void ByteProduct::StartOf(int64_t panel, const std::byte* packed, const int32_t* bias,
                          int32_t* start) const {
  const int64_t output = OutputOf(panel);
  const auto* inner = reinterpret_cast<const int32_t*>(packed + InnerBegin()) + output;
  const int64_t columns = ColumnsOf(panel);
  for (int64_t j = 0; j < columns; ++j) {
    const int32_t first = bias == nullptr ? 0 : bias[output + j];
    start[j] = static_cast<int32_t>(static_cast<uint32_t>(first) - static_cast<uint32_t>(inner[j]));
  }
}

void ByteProduct::RunTiles(int64_t panel, const std::byte* packed, const ByteTileCall& first,
                           int64_t rows, const ByteFinish* finish) const {
  const auto* weights = reinterpret_cast<const int16_t*>(packed) + PanelBegin(panel);
  const int64_t width = WidthOf(panel);
  const size_t vectors =
      width <= static_cast<int64_t>(tiles_->lanes) ? 1 : static_cast<size_t>(width) / tiles_->lanes;
  const int64_t quads = padded_ / 4;
  for (int64_t block = 0, k = 0; block < blocks_; ++block) {
    const int64_t end = block + 1 == blocks_ ? quads : quads * (block + 1) / blocks_;
    ByteTileCall call = first;
    call.quads = static_cast<size_t>(end - k);
    call.w = weights + 4 * k * width;
    call.x += 4 * k;
    k = end;
    call.continues = block > 0;
    call.finish = block + 1 == blocks_ ? finish : nullptr;
    call.tiles = static_cast<size_t>(rows) / kMostByteRows;
    if (call.tiles > 0) tiles_->run[kMostByteRows - 1][vectors - 1](call);
    const size_t done = call.tiles * kMostByteRows, rest = static_cast<size_t>(rows) - done;
    if (rest == 0) continue;
    call.tiles = 1;
    call.x += done * call.x_row;
    call.x_inner += done;
    call.sums += done * call.sums_row;
    if (call.to != nullptr) call.to += done * call.to_row;
    tiles_->run[rest - 1][vectors - 1](call);
  }
}

void ByteProduct::Pack(const std::function<void(int64_t output, int16_t* line)>& fill,
                       std::byte* to) const {
  if (quads_ != nullptr) return PackQuads(fill, to);
  std::memset(to, 0, packed_bytes());
  std::vector<int16_t> line(static_cast<size_t>(padded_));  // zeros beyond the depth
  for (int64_t output = 0; output < shape_.outputs; ++output) {
    fill(output, line.data());
    PackLine(output, line.data(), to);
  }
}

void ByteProduct::PackLine(int64_t output, const int16_t* line, std::byte* to) const {
  const auto wide = static_cast<int64_t>(tiles_->width());
  const int64_t at = output % out_group_;
  const int64_t panel = output / out_group_ * panels_in_group_ + at / wide;
  const int64_t step = 2 * WidthOf(panel);
  int16_t* first = reinterpret_cast<int16_t*>(to) + PanelBegin(panel) + 2 * (at % wide);
  for (int64_t k = 0; k < padded_; k += 2, first += step) std::memcpy(first, line + k, 4);
  reinterpret_cast<int32_t*>(to + InnerBegin())[output] = InnerOf(line, padded_);
}

void ByteProduct::Multiply(const int16_t* wide, int64_t row, const int32_t* inner, int64_t rows,
                           const std::byte* packed, int32_t* sums) const {
  ByteTileCall call;
  call.x = wide;
  call.x_row = static_cast<size_t>(row);
  call.x_inner = inner;
  call.sums_row = static_cast<size_t>(sums_row());
  for (int64_t panel = 0; panel < panels_; ++panel) {
    int32_t start[kWidestByteTile] = {};
    StartOf(panel, packed, nullptr, start);
    call.start = start;
    call.sums = sums + OutputOf(panel);
    RunTiles(panel, packed, call, rows, nullptr);
  }
}

size_t ByteProduct::scratch_bytes() const {
  const int64_t rows = std::min(rows_, RoundUp(positions(), 4));
  const int64_t numbers = rows * RowBytes();
  const int64_t sums = rows * static_cast<int64_t>(tiles_->width()) * 4;
  return static_cast<size_t>(numbers + RoundUp(rows * 4, 64) + sums + RoundUp(depth_, 64) + 64);
}

ByteProduct::Cut ByteProduct::CutFor(size_t threads) const {
  Cut cut;
  cut.stripes = CeilDiv(positions(), rows_);
  if (threads <= 1) return cut;
  const double macs = static_cast<double>(positions()) * static_cast<double>(depth_) *
                      static_cast<double>(out_group_ * shape_.groups);
  const double seconds = macs / kMacsPerSecond;
  if (seconds < kWorthSharing) return cut;
  const int64_t wanted = std::min(static_cast<int64_t>(threads) * kTasksPerThread,
                                  static_cast<int64_t>(seconds / (kWorthSharing / 3)));
  if (cut.stripes >= wanted) return cut;
  // Each task widens its rows by itself: many panels are worth it, else there are shorter stripes.
  if (panels_ >= 16 || positions() < 4 * wanted) {
    cut.panels = std::clamp<int64_t>(CeilDiv(wanted, cut.stripes), 1, panels_);
  } else {
    cut.stripes = wanted;
  }
  return cut;
}

void ByteProduct::Run(const std::byte* packed, const ByteOperands& operands, std::byte* scratch,
                      size_t scratch_stride, runtime::Team& team) const {
  const Cut cut = CutFor(team.threads());
  const int64_t fours = CeilDiv(positions(), 4);
  const auto run = [&](size_t index, size_t thread) {
    const auto i = static_cast<int64_t>(index);
    const int64_t stripe = i / cut.panels, piece = i % cut.panels;
    const int64_t first = fours * stripe / cut.stripes * 4;
    const int64_t last = std::min(fours * (stripe + 1) / cut.stripes * 4, positions());
    const int64_t panel = panels_ * piece / cut.panels;
    const int64_t panels = panels_ * (piece + 1) / cut.panels - panel;
    RunTask(first, last - first, panel, panels, packed, operands,
            scratch + thread * scratch_stride);
  };
  const int64_t tasks = cut.stripes * cut.panels;
  if (tasks > 1 && team.threads() > 1) {
    team.ForEach(static_cast<size_t>(tasks), run);
    return;
  }
  for (int64_t i = 0; i < tasks; ++i) run(static_cast<size_t>(i), 0);
}

void ByteProduct::RunTask(int64_t position, int64_t positions, int64_t panel, int64_t panels,
                          const std::byte* packed, const ByteOperands& operands,
                          std::byte* scratch) const {
  Stripe stripe;
  const int64_t most = std::min(rows_, RoundUp(positions, 4));
  stripe.wide = reinterpret_cast<int16_t*>(scratch);
  scratch += most * RowBytes();
  stripe.inner = reinterpret_cast<int32_t*>(scratch);
  scratch += RoundUp(most * 4, 64);
  stripe.sums = reinterpret_cast<int32_t*>(scratch);
  scratch += most * static_cast<int64_t>(tiles_->width()) * 4;
  stripe.line = scratch;
  for (int64_t done = 0; done < positions; done += stripe.rows) {
    stripe.first = position + done;
    stripe.rows = std::min(rows_, positions - done);
    int64_t group = -1;
    for (int64_t p = panel; p < panel + panels; ++p) {
      if (p / panels_in_group_ != group) {
        group = p / panels_in_group_;
        Prepare(stripe, group, operands);
      }
      RunPanel(stripe, p, packed, operands);
    }
  }
}

void ByteProduct::Prepare(Stripe& stripe, int64_t group, const ByteOperands& operands) const {
  if (quads_ != nullptr) {
    PlaceBytes(stripe, group, operands);
  } else {
    Widen(stripe, group, operands);
  }
}

bool ByteProduct::IsDense() const {
  return shape_.rows.stride == 1 && shape_.columns.stride == 1 &&
         shape_.rows.output == shape_.rows.input && shape_.columns.output == shape_.columns.input;
}

void ByteProduct::Widen(const Stripe& stripe, int64_t group, const ByteOperands& operands) const {
  WidenRowsCall call;
  call.count = depth_;
  call.is_signed = operands.x_signed;
  call.zero = operands.x_zero;
  call.to = stripe.wide;
  call.to_row = row_;
  call.inner = stripe.inner;
  if (gathers_) {
    call.from = stripe.line;
    for (int64_t i = 0; i < stripe.rows; i += call.rows) {
      GatherRowsCall pieces;
      call.rows = FindPieces(operands.x, stripe.first + i, stripe.rows - i, pieces);
      if (call.rows > 0) {
        pieces.rows = call;
        GatherRows(pieces);
      } else {
        call.rows = 1;
        Gather(stripe.first + i, group, operands, stripe.line);
        WidenRows(call);
      }
      call.to += call.rows * row_;
      call.inner += call.rows;
    }
    return;
  }
  call.from = operands.x + group * in_group_;
  call.from_row = shape_.columns.stride * shape_.channels;
  WidenLines(stripe, call);
}

// Kernels of one tap: as many positions at once as follow each other in the input.
void ByteProduct::WidenLines(const Stripe& stripe, WidenRowsCall call) const {
  const int64_t columns = shape_.columns.output, rows = shape_.rows.output;
  const std::byte* x = call.from;
  const bool dense = IsDense();
  for (int64_t done = 0; done < stripe.rows;) {
    const int64_t at = stripe.first + done;
    const int64_t column = at % columns, row = at / columns % rows, sample = at / columns / rows;
    const int64_t pixel =
        (sample * shape_.rows.input + row * shape_.rows.stride) * shape_.columns.input +
        column * shape_.columns.stride;
    call.from = x + pixel * shape_.channels;
    call.rows = dense ? stripe.rows : std::min(stripe.rows - done, columns - column);
    WidenRows(call);
    done += call.rows;
    call.to += call.rows * row_;
    call.inner += call.rows;
  }
}

int64_t ByteProduct::FindPieces(const std::byte* x, int64_t position, int64_t most,
                                GatherRowsCall& call) const {
  const ConvolutionAxis &rows = shape_.rows, &columns = shape_.columns;
  const int64_t column = position % columns.output;
  const int64_t row = position / columns.output % rows.output;
  const int64_t sample = position / columns.output / rows.output;
  const int64_t left = column * columns.stride - columns.pad;
  const int64_t top = row * rows.stride - rows.pad;
  if (shape_.groups != 1 || columns.dilation != 1 || left < 0 || top < 0 ||
      left + columns.kernel > columns.input ||
      top + (rows.kernel - 1) * rows.dilation >= rows.input) {
    return 0;
  }
  const int64_t line = columns.input * shape_.channels;
  const int64_t begin = (sample * rows.input + top) * line + left * shape_.channels;
  call.from = x + begin;
  call.step = columns.stride * shape_.channels;
  call.line = rows.dilation * line;
  call.lines = rows.kernel;
  call.piece = columns.kernel * shape_.channels;
  // As many as end inside of the row, and read nothing beyond the input.
  const int64_t inside = (columns.input - columns.kernel - left) / columns.stride + 1;
  const int64_t reach = begin + (call.lines - 1) * call.line + call.piece + kGatherSlack;
  const int64_t left_over = shape_.samples * rows.input * line - reach;
  if (left_over < 0) return 0;
  return std::min({most, columns.output - column, inside, left_over / call.step + 1});
}

// What the filters meet at a position; beyond the plane is the zero point.
void ByteProduct::Gather(int64_t position, int64_t group, const ByteOperands& operands,
                         std::byte* line) const {
  const ConvolutionAxis &rows = shape_.rows, &columns = shape_.columns;
  const int64_t column = position % columns.output;
  const int64_t row = position / columns.output % rows.output;
  const int64_t sample = position / columns.output / rows.output;
  const int64_t left = column * columns.stride - columns.pad;
  const bool merges = shape_.groups == 1 && columns.dilation == 1 && left >= 0 &&
                      left + columns.kernel <= columns.input;
  const auto bytes = static_cast<size_t>(in_group_);
  for (int64_t i = 0; i < rows.kernel; ++i) {
    const int64_t y = row * rows.stride - rows.pad + i * rows.dilation;
    const bool inside = y >= 0 && y < rows.input;
    const std::byte* from = operands.x +
                            (sample * rows.input + y) * columns.input * shape_.channels +
                            group * in_group_;
    if (inside && merges) {
      std::memcpy(line, from + left * shape_.channels, bytes * static_cast<size_t>(columns.kernel));
      line += columns.kernel * in_group_;
      continue;
    }
    for (int64_t j = 0; j < columns.kernel; ++j, line += in_group_) {
      const int64_t c = left + j * columns.dilation;
      if (inside && c >= 0 && c < columns.input) {
        std::memcpy(line, from + c * shape_.channels, bytes);
      } else {
        std::memset(line, operands.x_zero, bytes);
      }
    }
  }
}

void ByteProduct::RunPanel(const Stripe& stripe, int64_t panel, const std::byte* packed,
                           const ByteOperands& operands) const {
  const int64_t width = WidthOf(panel), output = OutputOf(panel);
  // What each column adds, beyond the columns too.
  int32_t start[kWidestByteTile] = {};
  float scale[kWidestByteTile] = {}, offset[kWidestByteTile] = {};
  RequantizeCall requantize = operands.finish;
  if (quads_ != nullptr) {
    StartOfQuads(panel, packed, operands, start);
  } else {
    StartOf(panel, packed, requantize.bias, start);
  }
  const auto there = static_cast<size_t>(ColumnsOf(panel));
  if (operands.sums == nullptr) std::memcpy(scale, requantize.scale + output, there * 4);
  if (requantize.offset != nullptr) std::memcpy(offset, requantize.offset + output, there * 4);
  requantize.scale = scale;
  if (requantize.offset != nullptr) requantize.offset = offset;
  const ByteFinish finish = ByteFinish::Of(requantize, operands.sums == nullptr ? there : 0);
  const int64_t bytes = requantize.type == RequantizeCall::Type::kF32 ? 4 : 1;

  ByteTileCall call;
  call.x = stripe.wide;
  call.x_row = static_cast<size_t>(row_);
  call.x_inner = stripe.inner;
  call.start = start;
  call.sums = stripe.sums;
  call.sums_row = static_cast<size_t>(width);
  call.columns = there;
  call.to_row = static_cast<size_t>(shape_.outputs * bytes);
  if (operands.sums == nullptr) {
    call.to =
        static_cast<std::byte*>(requantize.to) + (stripe.first * shape_.outputs + output) * bytes;
  }
  if (operands.sums == nullptr) call.finish = &finish;
  if (quads_ != nullptr) {
    RunQuads(stripe, panel, packed, call);
  } else {
    RunTiles(panel, packed, call, stripe.rows, call.finish);
  }
  for (int64_t row = 0; operands.sums != nullptr && row < stripe.rows; ++row) {
    std::memcpy(operands.sums + (stripe.first + row) * shape_.outputs + output,
                stripe.sums + row * width, there * 4);
  }
}

}  // namespace ingot::cpu
