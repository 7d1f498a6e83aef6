// A panel of weights that are bytes, made ready for the tile of byte_quads.h: which of its quads
// stand as they are, which of those fit each other, and what is stored of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ingot::cpu {

class QuadPanel {
 public:
  // `lines` are the weights of each column, within [-128, 127]: [columns][depth], depth a multiple
  // of four.
  QuadPanel(const int16_t* lines, int64_t columns, int64_t depth);

  // Quads that stand as they are, of them so many times two that fit, and the masked ones.
  int32_t plain() const { return plain_; }
  int32_t plain_twos() const { return plain_twos_; }
  int32_t masked() const { return static_cast<int32_t>(order_.size()) - plain_; }
  // Where each begins in a line: [plain + masked], as the tile takes them.
  const std::vector<int32_t>& order() const { return order_; }

  // [plain][width][4], then [masked][2][width][4]: sizes and masks; zeros beyond the columns.
  int64_t bytes(int64_t width) const { return (plain_ + 2 * int64_t{masked()}) * width * 4; }
  void Write(int64_t width, std::byte* to) const;
  // [columns][2]: the sum of a column's weights, and what its masked quads add to sums of products.
  void WriteSums(int32_t* to) const;

 private:
  void FindReach();
  bool IsPlain(int64_t quad) const;
  bool Fit(int64_t quad, int64_t other) const;
  // Brings those of order_ that fit each other to the front, two by two.
  void FindTwos();

  const int16_t* lines_;
  int64_t columns_, depth_, quads_;
  // How far each pair goes, whatever the bytes it meets: the sums of what is above zero, and of
  // what is below it, cut at 255: [quad][column][above, above, below, below].
  std::vector<uint8_t> reach_;
  std::vector<int32_t> order_;
  int32_t plain_ = 0, plain_twos_ = 0;
};

}  // namespace ingot::cpu
