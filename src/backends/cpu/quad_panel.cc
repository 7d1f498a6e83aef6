// Sorting the quads of a panel and writing them. A model's first run waits for this: the loops go
// along the lines, a quad at a time.
#include "backends/cpu/quad_panel.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace ingot::cpu {
namespace {

// What pairs of bytes may have together: 255 times it stays below 2^15.
constexpr int kMostReach = 128;
constexpr int64_t kReachBytes = 4;  // of a quad of a column

// The bytes of four weights, the first of them lowest.
uint32_t BytesOf(const int16_t* w) {
  uint32_t result = 0;
  for (int i = 3; i >= 0; --i) result = result << 8 | static_cast<uint8_t>(w[i]);
  return result;
}

}  // namespace

QuadPanel::QuadPanel(const int16_t* lines, int64_t columns, int64_t depth)
    : lines_(lines), columns_(columns), depth_(depth), quads_(depth / 4) {
  FindReach();
  std::vector<int32_t> masked;
  for (int64_t quad = 0; quad < quads_; ++quad) {
    (IsPlain(quad) ? order_ : masked).push_back(static_cast<int32_t>(4 * quad));
  }
  plain_ = static_cast<int32_t>(order_.size());
  FindTwos();
  order_.insert(order_.end(), masked.begin(), masked.end());
}

void QuadPanel::FindReach() {
  reach_.resize(static_cast<size_t>(quads_ * columns_ * kReachBytes));
  const int64_t step = columns_ * kReachBytes;
  for (int64_t j = 0; j < columns_; ++j) {
    const int16_t* w = lines_ + j * depth_;
    uint8_t* to = reach_.data() + j * kReachBytes;
    for (int64_t quad = 0; quad < quads_; ++quad, w += 4, to += step) {
      uint32_t reach = 0;
      for (int pair = 0; pair < 2; ++pair) {
        const int a = w[2 * pair], b = w[2 * pair + 1];
        const int above = std::max(a, 0) + std::max(b, 0);
        reach |= static_cast<uint32_t>(above) << (8 * pair);
        reach |= static_cast<uint32_t>(std::min(255, above - a - b)) << (16 + 8 * pair);
      }
      std::memcpy(to, &reach, 4);
    }
  }
}

bool QuadPanel::IsPlain(int64_t quad) const {
  const uint8_t* at = reach_.data() + quad * columns_ * kReachBytes;
  uint8_t most = 0;
  for (int64_t i = 0; i < columns_ * kReachBytes; ++i) most = std::max(most, at[i]);
  return most <= kMostReach;
}

// Of two that are plain. No branch and no wider numbers, so that vectors do it: half of a sum,
// rounded up, is an instruction.
bool QuadPanel::Fit(int64_t quad, int64_t other) const {
  const uint8_t* a = reach_.data() + quad * columns_ * kReachBytes;
  const uint8_t* b = reach_.data() + other * columns_ * kReachBytes;
  uint8_t most = 0;
  for (int64_t i = 0; i < columns_ * kReachBytes; ++i) {
    most = std::max(most, static_cast<uint8_t>((a[i] + b[i] + 1) >> 1));
  }
  return most <= kMostReach / 2;
}

void QuadPanel::FindTwos() {
  constexpr std::ptrdiff_t kLooks = 8;  // of each at those that follow it
  std::vector<int32_t> twos, alone;
  std::vector<int32_t> left(order_.rbegin(), order_.rend());
  while (!left.empty()) {
    const int32_t k = left.back();
    left.pop_back();
    const auto end = left.rbegin() + std::min(kLooks, std::ssize(left));
    const auto found =
        std::find_if(left.rbegin(), end, [&](int32_t other) { return Fit(k / 4, other / 4); });
    if (found == end) {
      alone.push_back(k);
      continue;
    }
    twos.insert(twos.end(), {k, *found});
    left.erase(std::next(found).base());
  }
  plain_twos_ = static_cast<int32_t>(twos.size() / 2);
  order_ = std::move(twos);
  order_.insert(order_.end(), alone.begin(), alone.end());
}

void QuadPanel::Write(int64_t width, std::byte* to) const {
  if (columns_ < width) std::memset(to, 0, static_cast<size_t>(bytes(width)));
  const int64_t step = width * 4;
  for (int64_t j = 0; j < columns_; ++j) {
    const int16_t* line = lines_ + j * depth_;
    std::byte* out = to + j * 4;
    for (int32_t i = 0; i < plain_; ++i, out += step) {
      const uint32_t word = BytesOf(line + order_[static_cast<size_t>(i)]);
      std::memcpy(out, &word, 4);
    }
    for (size_t i = static_cast<size_t>(plain_); i < order_.size(); ++i, out += 2 * step) {
      const uint32_t word = BytesOf(line + order_[i]);
      const uint32_t below = (word >> 7 & 0x01010101U) * 0xff;  // all bits of those below zero
      const uint32_t sizes = (word ^ below) + (below & 0x01010101U);
      const uint32_t masks = below ^ 0x80808080U;
      std::memcpy(out, &sizes, 4);
      std::memcpy(out + step, &masks, 4);
    }
  }
}

void QuadPanel::WriteSums(int32_t* to) const {
  for (int64_t j = 0; j < columns_; ++j, to += 2) {
    const int16_t* line = lines_ + j * depth_;
    int32_t sum = 0, added = 0;
    for (int64_t k = 0; k < depth_; ++k) sum += line[k];
    for (size_t i = static_cast<size_t>(plain_); i < order_.size(); ++i) {
      for (const int16_t* w = line + order_[i]; w < line + order_[i] + 4; ++w) {
        added += 128 * *w - std::min<int>(*w, 0);
      }
    }
    to[0] = sum;
    to[1] = added;
  }
}

}  // namespace ingot::cpu
