// How a product is cut into tasks, and its weights packed.
#include "backends/cpu/packed_product.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/counts.h"

namespace ingot::cpu {
namespace {

// What a task reads again for every panel should stay in the second-level cache.
constexpr int64_t kStripeFloats = int64_t{1} << 15;
// Below this much work (in seconds, by rough rates) a product stays on one thread.
constexpr double kWorthSharing = 8e-6;
constexpr double kFlopsPerSecond = 80e9;
constexpr double kBytesPerSecond = 25e9;

}  // namespace

PackedProduct::PackedProduct(const ConvolutionShape& shape, const TileSet& tiles)
    : shape_(shape), tiles_(tiles) {
  const ConvolutionAxis &rows = shape.rows, &columns = shape.columns;
  in_group_ = shape.channels / shape.groups;
  out_group_ = shape.outputs / shape.groups;
  const auto width = static_cast<int64_t>(tiles_.width());
  panels_in_group_ = CeilDiv(out_group_, width);
  panels_ = panels_in_group_ * shape.groups;
  depth_ = rows.kernel * columns.kernel * in_group_;
  const bool merges = shape.groups == 1 && columns.dilation == 1;
  merged_ = merges ? columns.kernel : 1;
  pair_k_ = in_group_ * merged_;
  pairs_ = rows.kernel * columns.kernel / merged_;
  const auto fits = [](const ConvolutionAxis& axis) {
    const int64_t last = (axis.output - 1) * axis.stride + (axis.kernel - 1) * axis.dilation;
    return axis.pad == 0 && last < axis.input;
  };
  pads_ = !fits(rows) || !fits(columns);
  line_ = columns.input;
  if (pads_)
    line_ = (columns.output - 1) * columns.stride + (columns.kernel - 1) * columns.dilation + 1;
  MakeBlocks();
  SizeStripes();
}

PackedProduct PackedProduct::OfMatrices(int64_t m, int64_t k, int64_t n, const TileSet& tiles) {
  ConvolutionShape shape;
  shape.samples = 1;
  shape.channels = k;
  shape.outputs = n;
  shape.rows.input = shape.rows.output = m;
  return PackedProduct(shape, tiles);
}

void PackedProduct::MakeBlocks() {
  const auto depth = static_cast<int64_t>(tiles_.depth);
  const int64_t k_pieces = CeilDiv(pair_k_, depth);
  const int64_t at_once = std::max<int64_t>(depth / std::max<int64_t>(pair_k_, 1), 1);
  const int64_t pair_pieces = std::max<int64_t>(CeilDiv(pairs_, at_once), 1);
  for (int64_t i = 0; i < pair_pieces; ++i) {
    for (int64_t j = 0; j < k_pieces; ++j) {
      const int64_t pair = pairs_ * i / pair_pieces, k = pair_k_ * j / k_pieces;
      blocks_.push_back(
          {pair, pairs_ * (i + 1) / pair_pieces - pair, k, pair_k_ * (j + 1) / k_pieces - k});
    }
  }
  const int64_t across = shape_.columns.kernel / merged_;
  for (int64_t pair = 0; pair < pairs_; ++pair) {
    const int64_t y = pair / across * shape_.rows.dilation;
    const int64_t x = pair % across * shape_.columns.dilation;
    tile_pairs_.push_back({(y * line_ + x) * shape_.channels, 0});
  }
}

int64_t PackedProduct::PaddedRows(int64_t rows) const {
  return (rows - 1) * shape_.rows.stride + (shape_.rows.kernel - 1) * shape_.rows.dilation + 1;
}

void PackedProduct::SizeStripes() {
  const int64_t row_floats = std::max<int64_t>(line_ * std::min<int64_t>(shape_.channels, 512), 1);
  rows_ = std::max<int64_t>(kStripeFloats / (row_floats * shape_.rows.stride), 1);
  rows_ = std::min(rows_, std::max<int64_t>(shape_.rows.output, 1));
  // A few whole tiles at least.
  const int64_t columns = std::max<int64_t>(shape_.columns.output, 1);
  rows_ = std::min(std::max(rows_, CeilDiv(48, columns)), std::max<int64_t>(shape_.rows.output, 1));
  if (rows_ == shape_.rows.output) {
    const int64_t plane = PaddedRows(rows_) * row_floats;
    samples_ = std::clamp<int64_t>(kStripeFloats / std::max<int64_t>(plane, 1), 1,
                                   std::max<int64_t>(shape_.samples, 1));
  }
}

int64_t PackedProduct::ColumnsOf(int64_t panel) const {
  const auto width = static_cast<int64_t>(tiles_.width());
  return std::min(width, out_group_ - panel % panels_in_group_ * width);
}

int64_t PackedProduct::WidthOf(int64_t panel) const {
  return RoundUp(ColumnsOf(panel), static_cast<int64_t>(tiles_.lanes));
}

int64_t PackedProduct::PanelBegin(int64_t panel) const {
  const auto lanes = static_cast<int64_t>(tiles_.lanes);
  const auto width = static_cast<int64_t>(tiles_.width());
  const int64_t group = panel / panels_in_group_, at = panel % panels_in_group_;
  return depth_ * (group * RoundUp(out_group_, lanes) + at * width);
}

size_t PackedProduct::packed_floats() const {
  // What is read beyond the last row of a narrow panel is not used, but must be there.
  return static_cast<size_t>(PanelBegin(panels_)) + kWidestTile;
}

void PackedProduct::Pack(const Weight& first, int64_t output_stride, float* packed) const {
  for (int64_t panel = 0; panel < panels_; ++panel) {
    const int64_t columns = ColumnsOf(panel), width = WidthOf(panel);
    const int64_t output = panel / panels_in_group_ * out_group_ +
                           panel % panels_in_group_ * static_cast<int64_t>(tiles_.width());
    float* to = packed + PanelBegin(panel);
    for (const Block& block : blocks_) {
      for (int64_t pair = block.pair_begin; pair < block.pair_begin + block.pairs; ++pair) {
        for (int64_t p = block.k_begin; p < block.k_begin + block.k; ++p) {
          const float* from =
              first(pair * merged_ + p / in_group_, p % in_group_) + output * output_stride;
          for (int64_t j = 0; j < columns; ++j) to[j] = from[j * output_stride];
          for (int64_t j = columns; j < width; ++j) to[j] = 0;
          to += width;
        }
      }
    }
  }
}

void PackedProduct::PackFilters(const float* w, float* packed) const {
  const int64_t taps = shape_.rows.kernel * shape_.columns.kernel;
  const auto wide = static_cast<int64_t>(tiles_.width());
  // Of one panel, tap by tap.
  std::vector<float> reordered(taps == 1 ? 0 : static_cast<size_t>(wide * depth_));
  for (int64_t panel = 0; panel < panels_; ++panel) {
    const int64_t columns = ColumnsOf(panel), width = WidthOf(panel);
    const int64_t output = panel / panels_in_group_ * out_group_ + panel % panels_in_group_ * wide;
    const float* rows = w + output * depth_;
    if (taps > 1) {
      for (int64_t j = 0; j < columns; ++j) {
        float* to = reordered.data() + j * depth_;
        for (int64_t c = 0; c < in_group_; ++c) {
          for (int64_t tap = 0; tap < taps; ++tap) {
            std::memcpy(to + tap * in_group_ + c, rows + j * depth_ + c * taps + tap,
                        sizeof(float));
          }
        }
      }
      rows = reordered.data();
    }
    float* to = packed + PanelBegin(panel);
    for (const Block& block : blocks_) {
      for (int64_t pair = block.pair_begin; pair < block.pair_begin + block.pairs; ++pair) {
        tiles_.pack_transposed(rows + pair * pair_k_ + block.k_begin, static_cast<size_t>(depth_),
                               static_cast<size_t>(block.k), static_cast<size_t>(columns),
                               static_cast<size_t>(width), to);
        to += block.k * width;
      }
    }
  }
}

void PackedProduct::PackMatrix(const float* w, float* packed) const {
  const int64_t outputs = shape_.outputs;
  for (int64_t panel = 0; panel < panels_; ++panel) {
    cpu::PackRows(w + panel * static_cast<int64_t>(tiles_.width()), static_cast<size_t>(outputs),
                  static_cast<size_t>(depth_), static_cast<size_t>(ColumnsOf(panel)),
                  static_cast<size_t>(WidthOf(panel)), packed + PanelBegin(panel));
  }
}

size_t PackedProduct::scratch_bytes() const {
  if (!pads_ && pairs_ == 1) {  // what PackTiles packs
    const int64_t rows = rows_ * shape_.columns.output;
    const int64_t floats = PackedRow() * std::max(rows, PacksTogether() ? Positions() : 0);
    return static_cast<size_t>(floats + 16) * sizeof(float);
  }
  if (!pads_) return 0;
  const int64_t floats = samples_ * PaddedRows(rows_) * line_ * shape_.channels;
  return static_cast<size_t>(floats + 16) * sizeof(float);
}

PackedProduct::Cut PackedProduct::CutFor(size_t threads) const {
  Cut cut;
  cut.samples = CeilDiv(shape_.samples, samples_);
  cut.rows = CeilDiv(shape_.rows.output, rows_);
  if (threads <= 1) return cut;
  const double positions =
      static_cast<double>(shape_.samples * shape_.rows.output * shape_.columns.output);
  const double macs = positions * static_cast<double>(depth_ * shape_.outputs);
  const double bytes = 4 * static_cast<double>(depth_ * shape_.outputs);
  const double seconds = std::max(2 * macs / kFlopsPerSecond, bytes / kBytesPerSecond);
  if (seconds < kWorthSharing) return cut;
  const int64_t tasks = cut.samples * cut.rows;
  const int64_t at_most = static_cast<int64_t>(threads) * kTasksPerThread;
  const int64_t wanted = std::min(at_most, static_cast<int64_t>(seconds / (kWorthSharing / 4)));
  const auto unit = static_cast<int64_t>(positions <= kMostWideRows ? tiles_.wide_panels[0] : 1);
  if (tasks < wanted) {
    cut.panels = std::clamp<int64_t>(CeilDiv(wanted, tasks), 1, CeilDiv(panels_, unit));
  }
  return cut;
}

PackedProduct::Task PackedProduct::TaskAt(const Cut& cut, int64_t index) const {
  const int64_t panel = index % cut.panels, row = index / cut.panels % cut.rows;
  const int64_t sample = index / cut.panels / cut.rows;
  const int64_t positions = shape_.samples * shape_.rows.output * shape_.columns.output;
  const auto unit = static_cast<int64_t>(
      positions <= static_cast<int64_t>(kMostWideRows) ? tiles_.wide_panels[0] : 1);
  const int64_t units = CeilDiv(panels_, unit);
  Task task{};
  task.sample = shape_.samples * sample / cut.samples;
  task.samples = shape_.samples * (sample + 1) / cut.samples - task.sample;
  task.row_begin = shape_.rows.output * row / cut.rows;
  task.row_end = shape_.rows.output * (row + 1) / cut.rows;
  task.panel_begin = std::min(panels_, units * panel / cut.panels * unit);
  task.panel_end = std::min(panels_, units * (panel + 1) / cut.panels * unit);
  return task;
}

void PackedProduct::Run(const float* packed, const PackedOperands& operands, std::byte* scratch,
                        size_t scratch_stride, runtime::Team& team) const {
  const Cut cut = CutFor(team.threads());
  const int64_t tasks = cut.samples * cut.rows * cut.panels;
  const auto run = [&](size_t index, size_t thread) {
    RunTask(TaskAt(cut, static_cast<int64_t>(index)), packed, operands,
            reinterpret_cast<float*>(scratch + thread * scratch_stride));
  };
  if (cut.panels > 1 && PacksTogether()) {
    RunTogether(cut, packed, operands, reinterpret_cast<float*>(scratch), team);
    return;
  }
  const bool shares = cut.panels > 1 || tasks >= static_cast<int64_t>(team.threads());
  if (shares && team.threads() > 1) {
    team.ForEach(static_cast<size_t>(tasks), run);
    return;
  }
  for (int64_t i = 0; i < tasks; ++i) run(static_cast<size_t>(i), 0);
}

}  // namespace ingot::cpu
