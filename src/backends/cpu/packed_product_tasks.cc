// Tasks of a product: padding what they read, and walking around the tile.
#include <algorithm>
#include <cstring>

#include "backends/cpu/counts.h"
#include "backends/cpu/packed_product.h"

namespace ingot::cpu {
namespace {

constexpr int64_t kMostPairsAtOnce = 64;  // of one call of the tile
constexpr int64_t kMostTogether = int64_t{1}
                                  << 17;  // floats of a matrix that is packed for all tasks
constexpr int64_t kLineFloats = 16;       // of a line of the cache

// Asks for these floats in the second-level cache.
void FetchAhead(const float* from, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += kLineFloats) __builtin_prefetch(from + i, 0, 2);
}

}  // namespace

// Samples [task.samples] of PaddedRows x line_ pixels, zeros around the input.
void PackedProduct::Pad(const Task& task, const float* x, float* to) const {
  const ConvolutionAxis &rows = shape_.rows, &columns = shape_.columns;
  const int64_t channels = shape_.channels;
  const int64_t height = PaddedRows(task.row_end - task.row_begin);
  const int64_t first = task.row_begin * rows.stride - rows.pad;
  const int64_t left = std::min(columns.pad, line_);
  const int64_t inside = std::clamp<int64_t>(line_ - left, 0, columns.input);
  const int64_t right = line_ - left - inside;
  const auto zero = [&](int64_t pixels) {
    std::memset(to, 0, static_cast<size_t>(pixels * channels) * sizeof(float));
    to += pixels * channels;
  };
  for (int64_t n = task.sample; n < task.sample + task.samples; ++n) {
    for (int64_t i = first; i < first + height; ++i) {
      if (i < 0 || i >= rows.input) {
        zero(line_);
        continue;
      }
      zero(left);
      std::memcpy(to, x + (n * rows.input + i) * columns.input * channels,
                  static_cast<size_t>(inside * channels) * sizeof(float));
      to += inside * channels;
      zero(right);
    }
  }
}

// Hands out the positions of a task, tile by tile.
struct PackedProduct::Walk {
  const float* base = nullptr;            // of the task's first position
  int64_t plane = 0;                      // floats from one sample to the next
  int64_t row_step = 0, column_step = 0;  // floats
  int64_t rows = 0, columns = 0, positions = 0;
  int64_t out_plane = 0;  // positions from one sample of the output to the next
  bool is_line = false;   // positions follow each other by `step`
  int64_t step = 0;
  int64_t out_first = 0;  // position of the task's first
  int64_t output = 0;     // of the panel at hand: its first column
  int64_t channel = 0;    // of the block at hand: what is added to a position
  int64_t n = 0, i = 0, j = 0, out = 0;
  const float* next = nullptr;  // the weights behind those in use
  int64_t next_floats = 0;

  // They come from memory while several tiles use the ones before them.
  void FetchNext(int64_t tile, int64_t tiles) const {
    if (tiles < 4) return;
    FetchAhead(next, next_floats * tile / tiles, next_floats * (tile + 1) / tiles);
  }

  void Start() { n = i = j = out = 0; }
  const float* Input() const { return base + n * plane + i * row_step + j * column_step; }
  void Step() {
    ++out;
    if (++j < columns) return;
    j = 0;
    if (++i < rows) return;
    i = 0;
    ++n;
    out = n * out_plane;
  }
};

void PackedProduct::RunTask(const Task& task, const float* packed, const PackedOperands& operands,
                            float* scratch) const {
  if (pads_) Pad(task, operands.x, scratch);
  Walk walk = WalkOf(task, pads_ ? scratch : operands.x);
  if (!PacksRows(task, walk)) return RunPanels(task, walk, packed, operands);
  PackTiles(walk, 0, TilesOf(walk), scratch);
  RunPacked(task, walk, packed, operands, scratch);
}

// `from`: the operand x, or the task's padded part of it.
PackedProduct::Walk PackedProduct::WalkOf(const Task& task, const float* from) const {
  const ConvolutionAxis& rows = shape_.rows;
  const int64_t channels = shape_.channels;
  Walk walk;
  walk.rows = task.row_end - task.row_begin;
  walk.columns = shape_.columns.output;
  walk.positions = task.samples * walk.rows * walk.columns;
  walk.row_step = rows.stride * line_ * channels;
  walk.column_step = shape_.columns.stride * channels;
  if (pads_) {
    walk.base = from;
    walk.plane = PaddedRows(walk.rows) * line_ * channels;
  } else {
    walk.plane = rows.input * line_ * channels;
    walk.base = from + task.sample * walk.plane + task.row_begin * rows.stride * line_ * channels;
  }
  // A matrix, or whole rows of a plane that are read without gaps.
  const bool one_column = walk.columns == 1;
  walk.step = one_column ? walk.row_step : walk.column_step;
  walk.is_line = task.samples == 1 &&
                 (one_column || walk.rows == 1 || walk.row_step == walk.columns * walk.column_step);
  walk.out_plane = rows.output * walk.columns;
  walk.out_first = task.sample * walk.out_plane + task.row_begin * walk.columns;
  return walk;
}

// With vectors of 8 floats: where positions are few, so that weights stream past. Of 16: also where
// rows that lie a power of two apart would push each other out of the first-level cache,
// which holds fewer rows of wide panels.
bool PackedProduct::PacksRows(const Task& task, const Walk& walk) const {
  if (!walk.is_line || pads_ || pairs_ > 1 || shape_.groups > 1 || walk.positions < 12)
    return false;
  if (tiles_.lanes > 8) return depth_ >= 64 && task.panel_end - task.panel_begin >= 3;
  return StreamsWeights();
}

bool PackedProduct::StreamsWeights() const {
  return depth_ >= 64 && panels_ >= 8 && Positions() <= 64;
}

// Of a matrix of a moderate size: its rows are packed once for all tasks.
bool PackedProduct::PacksTogether() const {
  const bool wide = tiles_.lanes > 8 && depth_ >= 64 && panels_ >= 3;
  return !pads_ && pairs_ == 1 && shape_.groups == 1 && shape_.columns.output == 1 &&
         shape_.samples == 1 && Positions() >= 12 && Positions() * depth_ <= kMostTogether &&
         (wide || StreamsWeights());
}

void PackedProduct::RunTogether(const Cut& cut, const float* packed, const PackedOperands& operands,
                                float* scratch, runtime::Team& team) const {
  const auto scratch_of = [&](const Walk& walk) { return scratch + walk.out_first * PackedRow(); };
  const int64_t pieces =
      CeilDiv(static_cast<int64_t>(team.threads()) * kTasksPerThread, cut.rows);  // of each stripe
  team.ForEach(static_cast<size_t>(cut.rows * pieces), [&](size_t index, size_t) {
    const auto i = static_cast<int64_t>(index);
    const Walk walk = WalkOf(TaskAt(cut, i / pieces * cut.panels), operands.x);
    const int64_t piece = i % pieces, tiles = TilesOf(walk);
    PackTiles(walk, tiles * piece / pieces, tiles * (piece + 1) / pieces, scratch_of(walk));
  });
  team.ForEach(static_cast<size_t>(cut.rows * cut.panels), [&](size_t index, size_t) {
    const Task task = TaskAt(cut, static_cast<int64_t>(index));
    const Walk walk = WalkOf(task, operands.x);
    RunPacked(task, walk, packed, operands, scratch_of(walk));
  });
}

int64_t PackedProduct::TilesOf(const Walk& walk) {
  return CeilDiv(walk.positions, static_cast<int64_t>(kMostTileRows));
}

// Each tile's rows side by side, for one block of the sum after the other.
void PackedProduct::PackTiles(const Walk& walk, int64_t begin, int64_t end, float* to) const {
  const auto pack = Tiles().pack_transposed;  // moves elements of four bytes, whatever they are
  const int64_t tiles = TilesOf(walk);
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t row = walk.positions * tile / tiles;
    const int64_t rows = walk.positions * (tile + 1) / tiles - row;
    for (const Block& block : blocks_) {
      pack(walk.base + row * walk.step + block.k_begin, static_cast<size_t>(walk.step),
           static_cast<size_t>(block.k), static_cast<size_t>(rows), static_cast<size_t>(rows),
           to + row * PackedRow() + rows * block.k_begin);
    }
  }
}

void PackedProduct::RunPacked(const Task& task, const Walk& walk, const float* packed,
                              const PackedOperands& operands, const float* scratch) const {
  const int64_t tiles = TilesOf(walk);
  const auto begin_of = [&](int64_t tile) { return walk.positions * tile / tiles; };
  const TilePair pair;
  const float* a[kMostTileRows];
  float* c[kMostTileRows];
  const float* residual[kMostTileRows];
  TileCall call;
  call.a = a;
  call.c = c;
  call.pairs = &pair;
  call.pair_count = 1;
  for (const Block& block : blocks_) {
    const bool last = &block == &blocks_.back();
    call.k = static_cast<size_t>(block.k);
    call.continues = &block != &blocks_.front();
    call.epilogue =
        last && operands.epilogue.kind != Epilogue::Kind::kNone ? &operands.epilogue : nullptr;
    call.residual = last && operands.residual != nullptr ? residual : nullptr;
    for (int64_t panel = task.panel_begin; panel < task.panel_end; ++panel) {
      const int64_t width = WidthOf(panel);
      const int64_t output = panel * static_cast<int64_t>(tiles_.width());
      call.columns = static_cast<size_t>(ColumnsOf(panel));
      call.b_row = static_cast<size_t>(width);
      call.b = packed + PanelBegin(panel) + block.k_begin * width;
      call.bias = last && operands.bias != nullptr ? operands.bias + output : nullptr;
      const auto run = tiles_.run;
      // The next panel's weights come from memory while this one's are in use.
      const bool turns = panel + 1 == task.panel_end && !last;
      const Block& next_block = turns ? *(&block + 1) : block;
      const int64_t next_panel = turns ? task.panel_begin : std::min(panel + 1, panels_ - 1);
      const float* next =
          packed + PanelBegin(next_panel) + next_block.k_begin * WidthOf(next_panel);
      const int64_t next_floats = next_block.k * WidthOf(next_panel);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row = begin_of(tile), rows = begin_of(tile + 1) - row;
        FetchAhead(next, next_floats * tile / tiles, next_floats * (tile + 1) / tiles);
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = (walk.out_first + row + r) * shape_.outputs + output;
          a[r] = scratch + row * PackedRow() + rows * block.k_begin + r;
          c[r] = operands.y + at;
          residual[r] = operands.residual == nullptr ? nullptr : operands.residual + at;
        }
        call.a_column = static_cast<size_t>(rows);
        run[rows - 1][static_cast<size_t>(width) / tiles_.lanes - 1](call);
      }
    }
  }
}

// Panels that one wide tile takes, from `panel` on: whole ones of one group.
int64_t PackedProduct::PanelsTogether(int64_t panel, int64_t end, int64_t positions) const {
  if (positions > static_cast<int64_t>(kMostWideRows)) return 1;
  const auto most = static_cast<int64_t>(tiles_.wide_panels[static_cast<size_t>(positions) - 1]);
  const bool whole = panel + most <= end &&
                     panel / panels_in_group_ == (panel + most - 1) / panels_in_group_ &&
                     ColumnsOf(panel + most - 1) == static_cast<int64_t>(tiles_.width());
  return whole ? most : 1;
}

void PackedProduct::RunPanels(const Task& task, Walk& walk, const float* packed,
                              const PackedOperands& operands) const {
  for (int64_t panel = task.panel_begin; panel < task.panel_end;) {
    const int64_t together = PanelsTogether(panel, task.panel_end, walk.positions);
    const int64_t group = panel / panels_in_group_;
    const int64_t width = WidthOf(panel);
    const float* weights = packed + PanelBegin(panel);
    TilePair pairs[kMostPairsAtOnce];
    TileCall call;
    call.columns = static_cast<size_t>(ColumnsOf(panel) * together);
    call.b_row = static_cast<size_t>(width);
    call.panel = static_cast<size_t>(depth_ * width);
    call.pairs = pairs;
    walk.output =
        group * out_group_ + panel % panels_in_group_ * static_cast<int64_t>(tiles_.width());
    for (const Block& block : blocks_) {
      call.k = static_cast<size_t>(block.k);
      walk.channel = group * in_group_ + block.k_begin;
      for (int64_t done = 0; done < block.pairs;) {
        const int64_t here = std::min<int64_t>(kMostPairsAtOnce, block.pairs - done);
        for (int64_t i = 0; i < here; ++i) {
          pairs[i] = {tile_pairs_[static_cast<size_t>(block.pair_begin + done + i)].a,
                      i * block.k * width};
        }
        call.pair_count = static_cast<size_t>(here);
        call.b = weights;
        call.continues = &block != &blocks_.front() || done > 0;
        done += here;
        weights += here * block.k * width;
        const bool last = &block == &blocks_.back() && done == block.pairs;
        // Also of the next task's first panel, which this thread is likely to take.
        const bool more = !last || panel + together < panels_;
        walk.next = more ? weights : nullptr;
        walk.next_floats = more ? here * block.k * width : 0;
        RunTiles(walk, call, operands, last, together > 1);
      }
    }
    panel += together;
  }
}

void PackedProduct::RunTiles(Walk& walk, TileCall call, const PackedOperands& operands, bool last,
                             bool wide) const {
  const float* a[kMostTileRows];
  float* c[kMostTileRows];
  const float* residual[kMostTileRows];
  call.a = a;
  call.c = c;
  if (last) {
    if (operands.bias != nullptr) call.bias = operands.bias + walk.output;
    if (operands.epilogue.kind != Epilogue::Kind::kNone) call.epilogue = &operands.epilogue;
    if (operands.residual != nullptr) call.residual = residual;
  }
  const int64_t tiles = CeilDiv(walk.positions, static_cast<int64_t>(kMostTileRows));
  const size_t vectors = call.b_row / tiles_.lanes;
  const auto run = wide ? nullptr : tiles_.run;
  if (walk.is_line) {
    // Positions one behind the other, in both the input and the output.
    const float* from = walk.base + walk.channel;
    const int64_t first = walk.out_first * shape_.outputs + walk.output;
    float* to = operands.y + first;
    const float* added = operands.residual == nullptr ? nullptr : operands.residual + first;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t rows = walk.positions * (tile + 1) / tiles - walk.positions * tile / tiles;
      walk.FetchNext(tile, tiles);
      for (int64_t r = 0; r < rows; ++r, from += walk.step, to += shape_.outputs) {
        a[r] = from;
        c[r] = to;
        residual[r] = added;
        if (added != nullptr) added += shape_.outputs;
      }
      wide ? tiles_.run_wide[rows - 1](call) : run[rows - 1][vectors - 1](call);
    }
    return;
  }
  walk.Start();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t rows = walk.positions * (tile + 1) / tiles - walk.positions * tile / tiles;
    walk.FetchNext(tile, tiles);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t out = (walk.out_first + walk.out) * shape_.outputs + walk.output;
      a[r] = walk.Input() + walk.channel;
      c[r] = operands.y + out;
      if (operands.residual != nullptr) residual[r] = operands.residual + out;
      walk.Step();
    }
    wide ? tiles_.run_wide[rows - 1](call) : run[rows - 1][vectors - 1](call);
  }
}

}  // namespace ingot::cpu
