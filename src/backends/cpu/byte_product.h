// Products and convolutions (channels last) of bytes with weights that were packed beforehand, on
// the tile of byte_tiles.h or, where the weights are bytes and the instruction set has it, on that
// of byte_quads.h, which reads the input where it stands if it can. A thread takes some positions
// and panels of weights: it widens what the filters meet at each position into a row, multiplies,
// and brings the sums to the result while they are in registers. The bits do not depend on the
// threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "backends/cpu/byte_quads.h"
#include "backends/cpu/byte_tiles.h"
#include "backends/cpu/convolution.h"
#include "backends/cpu/counts.h"
#include "ingot/runtime/team.h"

namespace ingot::cpu {

struct ByteOperands {
  const std::byte* x = nullptr;  // [N, H, W, C]
  bool x_signed = false;
  int32_t x_zero = 0;
  RequantizeCall finish;    // `to` is y; sums, rows and columns are not looked at
  int32_t* sums = nullptr;  // where they are the result: [N, OH, OW, O]
};

class ByteProduct {
 public:
  // Whether all weights are within [-128, 127] without their zero point, or may be beyond.
  enum class Weights : uint8_t { kBytes, kWide };
  explicit ByteProduct(const ConvolutionShape& shape, Weights weights = Weights::kWide);
  // x [M, K], y [M, N].
  static ByteProduct OfMatrices(int64_t m, int64_t k, int64_t n, Weights weights = Weights::kWide);
  const char* layout() const { return quads_ == nullptr ? "i16" : "quads"; }  // of what is packed

  size_t packed_bytes() const;
  // `fill` writes the weights of an output: taps in row-major order, of each the channels of the
  // group.
  void Pack(const std::function<void(int64_t output, int16_t* line)>& fill, std::byte* to) const;

  // The same for one output of wide weights; what is beyond the outputs must be zero already.
  void PackLine(int64_t output, const int16_t* line, std::byte* to) const;

  // Of rows that were widened already, of one group: sums [rows], sums_row() apart.
  void Multiply(const int16_t* wide, int64_t row, const int32_t* inner, int64_t rows,
                const std::byte* packed, int32_t* sums) const;
  int64_t sums_row() const { return group_width_; }
  // Numbers of a widened row, and from one of them to the next where they lie well in the caches.
  int64_t padded_depth() const { return padded_; }
  int64_t row() const { return row_; }

  size_t scratch_bytes() const;  // of each thread
  void Run(const std::byte* packed, const ByteOperands& operands, std::byte* scratch,
           size_t scratch_stride, runtime::Team& team) const;

 private:
  // How the work is cut: positions, then panels.
  struct Cut {
    int64_t stripes = 1, panels = 1;
  };
  struct Stripe {
    int64_t first = 0, rows = 0;       // positions
    int16_t* wide = nullptr;           // [rows], row_ apart
    int32_t* inner = nullptr;          // [rows]
    const std::byte* bytes = nullptr;  // of quads instead: [rows], bytes_row apart
    int64_t bytes_row = 0;
    std::byte* line = nullptr;  // of what one position's filters meet
    int32_t* sums = nullptr;    // [rows][width], of one panel
  };

  Cut CutFor(size_t threads) const;
  void RunTask(int64_t position, int64_t positions, int64_t panel, int64_t panels,
               const std::byte* packed, const ByteOperands& operands, std::byte* scratch) const;
  // What the panels of a group multiply.
  void Prepare(Stripe& stripe, int64_t group, const ByteOperands& operands) const;
  void Widen(const Stripe& stripe, int64_t group, const ByteOperands& operands) const;
  void WidenLines(const Stripe& stripe, WidenRowsCall call) const;
  // Positions from this one on that GatherRows may take, of `most`; what it reads from.
  int64_t FindPieces(const std::byte* x, int64_t position, int64_t most,
                     GatherRowsCall& call) const;
  void Gather(int64_t position, int64_t group, const ByteOperands& operands, std::byte* line) const;
  void RunPanel(const Stripe& stripe, int64_t panel, const std::byte* packed,
                const ByteOperands& operands) const;
  // What the columns of a panel begin with: the bias, where there is one, less the inner product.
  void StartOf(int64_t panel, const std::byte* packed, const int32_t* bias, int32_t* start) const;
  // All of the depth of a panel for some rows; `first` is of the first of them.
  void RunTiles(int64_t panel, const std::byte* packed, const ByteTileCall& first, int64_t rows,
                const ByteFinish* finish) const;
  // ---- of quads, in byte_product_quads.cc ----
  struct QuadPlace {    // of a panel, in what is packed
    int64_t begin = 0;  // where its data lie, in bytes
    int32_t plain = 0, plain_twos = 0, masked = 0;
  };
  int64_t QuadDataBegin() const;
  void PackQuads(const std::function<void(int64_t output, int16_t* line)>& fill,
                 std::byte* to) const;
  int64_t PackQuadPanel(int64_t panel, const int16_t* lines, int64_t begin, std::byte* to) const;
  void PlaceBytes(Stripe& stripe, int64_t group, const ByteOperands& operands) const;
  void CopyRows(const Stripe& stripe, int64_t group, const ByteOperands& operands) const;
  void StartOfQuads(int64_t panel, const std::byte* packed, const ByteOperands& operands,
                    int32_t* start) const;
  void RunQuads(const Stripe& stripe, int64_t panel, const std::byte* packed,
                const ByteTileCall& like) const;

  int64_t RowBytes() const { return quads_ != nullptr ? row_ : 2 * row_; }
  bool IsDense() const;        // the positions are those of the input
  int64_t InnerBegin() const;  // of the inner products in what is packed, in bytes
  int64_t positions() const { return shape_.samples * shape_.rows.output * shape_.columns.output; }
  // Without a division where there is but one group.
  int64_t GroupOf(int64_t panel) const {
    return panels_ == panels_in_group_ ? 0 : panel / panels_in_group_;
  }
  int64_t PlaceInGroup(int64_t panel) const {
    return panels_ == panels_in_group_ ? panel : panel % panels_in_group_;
  }
  int64_t ColumnsOf(int64_t panel) const;   // outputs of a panel
  int64_t WidthOf(int64_t panel) const;     // of its rows
  int64_t OutputOf(int64_t panel) const;    // its first
  int64_t PanelBegin(int64_t panel) const;  // in numbers of the packed weights

  ConvolutionShape shape_;
  const ByteTileSet* tiles_;
  const QuadTileSet* quads_;  // null: the weights are wide
  int64_t in_group_, out_group_;
  int64_t group_width_;  // of the rows of a group's panels
  int64_t panels_in_group_, panels_;
  int64_t depth_;   // of a sum
  int64_t padded_;  // depth to a multiple of four
  int64_t row_;     // numbers from row to row of what is widened, bytes of what is copied
  int64_t rows_;    // positions of a stripe at most
  int64_t blocks_;  // calls of the tile that take the depth
  bool gathers_;    // a position's line is not one piece of the input
};

}  // namespace ingot::cpu
