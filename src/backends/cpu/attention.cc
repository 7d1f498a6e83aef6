// Blocks of attention around the products of panel_product.h and the rows of attention_rows.h.
#include "backends/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/attention_rows.h"
#include "backends/cpu/counts.h"
#include "backends/cpu/panel_product.h"

namespace ingot::cpu {
namespace {

using ops::AttentionSizes;
using ops::HeadStrides;

// Whole tiles of rows; blocks of scores and of keys stay in the first-level cache together.
constexpr size_t kQueryBlock = 48;
constexpr size_t kKeyBlock = 64;

size_t Size(int64_t extent) {
  return static_cast<size_t>(extent);
}

// What both directions need of one key head, packed.
struct Head {
  size_t length, padded_length;  // of the keys; padded to whole blocks
  size_t size, value_size;       // of a row
  size_t width, value_width;     // of a padded row

  explicit Head(const AttentionSizes& s)
      : length(Size(s.key_length)),
        padded_length(RoundUp(length, kKeyBlock)),
        size(Size(s.head_size)),
        value_size(Size(s.value_size)),
        width(PanelWidth(size)),
        value_width(PanelWidth(value_size)) {}
};

// rows [length, size] -> blocks of kKeyBlock of them, each transposed: [size][kKeyBlock].
void PackTransposedBlocks(const float* rows, size_t stride, size_t length, size_t size, float* to) {
  for (size_t j = 0; j < length; j += kKeyBlock) {
    const size_t here = std::min(kKeyBlock, length - j);
    CopyTransposed(rows + j * stride, stride, here, size, kKeyBlock, to + j * size);
  }
}

// A block of queries against a block of keys.
struct Block {
  size_t query, queries, key, keys;
};

class Scores {
 public:
  Scores(const AttentionSizes& sizes, const AttentionMask& mask) : s_(sizes), mask_(mask) {}

  // score[i][kKeyBlock] for the block, from q . k; slopes where there is a softcap.
  void Finish(const Block& block, int64_t b, int64_t h, float* score, float* slope) const {
    for (size_t i = 0; i < block.queries; ++i) {
      ScoreRow row;
      row.score = score + i * kKeyBlock;
      row.slope = slope == nullptr ? nullptr : slope + i * kKeyBlock;
      row.columns = block.keys;
      row.visible = block.keys;
      if (s_.causal) {
        const size_t last = block.query + i;  // the last key that may be looked at
        row.visible = last < block.key ? 0 : std::min(block.keys, last - block.key + 1);
      }
      row.scale = static_cast<float>(s_.scale);
      row.softcap = static_cast<float>(s_.softcap);
      FinishScores(row);
      AddMask(block, b, h, i, row.score);
    }
  }

  // How many keys a block of queries may look at.
  size_t Visible(size_t query_end, size_t length) const {
    return s_.causal ? std::min(query_end, length) : length;
  }

 private:
  void AddMask(const Block& block, int64_t b, int64_t h, size_t i, float* score) const {
    if (mask_.added == nullptr && mask_.visible == nullptr) return;
    const int64_t* stride = s_.mask_strides;
    const int64_t at = b * stride[0] + h * stride[1] +
                       static_cast<int64_t>(block.query + i) * stride[2] +
                       static_cast<int64_t>(block.key) * stride[3];
    for (size_t j = 0; j < block.keys; ++j) {
      const int64_t place = at + static_cast<int64_t>(j) * stride[3];
      if (mask_.added != nullptr) {
        score[j] += mask_.added[place];
      } else if (!mask_.visible[place]) {
        score[j] = -std::numeric_limits<float>::infinity();
      }
    }
  }

  const AttentionSizes& s_;
  AttentionMask mask_;
};

// One query head's rows of Y and of the sums.
void ForwardHead(const AttentionSizes& s, const Head& head, const Scores& scores, int64_t b,
                 int64_t h, const float* q, const float* keys, const float* values, float* y,
                 float* log_sum, float* scratch) {
  float* score = scratch;
  float* output = score + kQueryBlock * kKeyBlock;
  OnlineSoftmax state[kQueryBlock];
  const size_t queries = Size(s.query_length);
  for (size_t query = 0; query < queries; query += kQueryBlock) {
    Block block{query, std::min(kQueryBlock, queries - query), 0, 0};
    std::fill_n(output, block.queries * head.value_width, 0.0f);
    std::fill_n(state, block.queries, OnlineSoftmax{-std::numeric_limits<float>::infinity(), 0.0f});
    const size_t visible = scores.Visible(query + block.queries, head.length);
    for (block.key = 0; block.key < visible; block.key += kKeyBlock) {
      block.keys = std::min(kKeyBlock, head.length - block.key);
      Multiply({.a = q + query * Size(s.query.row),
                .a_row = Size(s.query.row),
                .b = keys + block.key * head.size,
                .b_row = kKeyBlock,
                .c = score,
                .c_row = kKeyBlock,
                .m = block.queries,
                .n = block.keys,
                .k = head.size});
      scores.Finish(block, b, h, score, nullptr);
      for (size_t i = 0; i < block.queries; ++i) {
        AddToSoftmax(score + i * kKeyBlock, block.keys, state[i], output + i * head.value_width,
                     head.value_width);
      }
      Multiply({.a = score,
                .a_row = kKeyBlock,
                .b = values + block.key * head.value_width,
                .b_row = head.value_width,
                .c = output,
                .c_row = head.value_width,
                .m = block.queries,
                .n = head.value_size,
                .k = block.keys,
                .continues = true});
    }
    for (size_t i = 0; i < block.queries; ++i) {
      const float factor = state[i].sum == 0 ? 0 : 1 / state[i].sum;
      Scale(output + i * head.value_width, factor, head.value_size,
            y + (query + i) * Size(s.output.row));
      if (log_sum != nullptr) log_sum[query + i] = state[i].highest + std::log(state[i].sum);
    }
  }
}

// ---- gradient ----

struct GradientScratch {
  float *keys_transposed, *values_transposed, *keys;  // of a key head
  float *dk, *dv;
  float *q, *dy, *dq, *delta, *log_sum;  // of a query head
  float *score, *dp, *slope;             // of a block

  // `base` null: only to learn `floats`.
  GradientScratch(const AttentionSizes& s, const Head& head, float* base) {
    const size_t queries = Size(s.query_length);
    const auto take = [&](size_t count) {
      float* taken = base == nullptr ? nullptr : base + floats;
      floats += PanelWidth(count);
      return taken;
    };
    keys_transposed = take(head.padded_length * head.size);
    values_transposed = take(head.padded_length * head.value_size);
    keys = take(head.length * head.width);
    dk = take(head.length * head.width);
    dv = take(head.length * head.value_width);
    q = take(queries * head.width);
    dy = take(queries * head.value_width);
    dq = take(queries * head.width);
    delta = take(queries);
    log_sum = take(queries);
    score = take(kQueryBlock * kKeyBlock);
    dp = take(kQueryBlock * kKeyBlock);
    slope = take(kQueryBlock * kKeyBlock);
  }
  size_t floats = 0;
};

class GradientHead {
 public:
  GradientHead(const AttentionSizes& s, const AttentionGradientOperands& x, float* scratch)
      : s_(s), x_(x), head_(s), scores_(s, x.mask), buffer_(s, head_, scratch) {}

  // dK and dV of one key head; dQ of its query heads.
  void Run(int64_t b, int64_t key_head) {
    const float* k = x_.k + s_.key.At(b, key_head, 0);
    const float* v = x_.v + s_.value.At(b, key_head, 0);
    PackTransposedBlocks(k, Size(s_.key.row), head_.length, head_.size, buffer_.keys_transposed);
    PackTransposedBlocks(v, Size(s_.value.row), head_.length, head_.value_size,
                         buffer_.values_transposed);
    CopyPadded(k, Size(s_.key.row), head_.length, head_.size, head_.width, buffer_.keys);
    std::fill_n(buffer_.dk, head_.length * head_.width, 0.0f);
    std::fill_n(buffer_.dv, head_.length * head_.value_width, 0.0f);
    for (int64_t g = 0; g < s_.group(); ++g) AddQueryHead(b, key_head * s_.group() + g);
    CopyOut(buffer_.dk, head_.width, head_.length, head_.size, Size(s_.key.row),
            x_.dk + s_.key.At(b, key_head, 0));
    CopyOut(buffer_.dv, head_.value_width, head_.length, head_.value_size, Size(s_.value.row),
            x_.dv + s_.value.At(b, key_head, 0));
  }

 private:
  static void CopyOut(const float* from, size_t width, size_t rows, size_t columns, size_t stride,
                      float* to) {
    for (size_t i = 0; i < rows; ++i) std::copy_n(from + i * width, columns, to + i * stride);
  }

  void AddQueryHead(int64_t b, int64_t h) {
    const size_t queries = Size(s_.query_length);
    const float* dy = x_.dy + s_.output.At(b, h, 0);
    const float* y = x_.y + s_.output.At(b, h, 0);
    const size_t row = Size(s_.output.row);
    const size_t sums = (Size(b) * Size(s_.query_heads) + Size(h)) * queries;
    CopyPadded(x_.q + s_.query.At(b, h, 0), Size(s_.query.row), queries, head_.size, head_.width,
               buffer_.q);
    CopyPadded(dy, row, queries, head_.value_size, head_.value_width, buffer_.dy);
    std::fill_n(buffer_.dq, queries * head_.width, 0.0f);
    for (size_t i = 0; i < queries; ++i) {
      buffer_.delta[i] = Dot(dy + i * row, y + i * row, head_.value_size);
      if (x_.d_log_sum != nullptr) buffer_.delta[i] -= x_.d_log_sum[sums + i];
      buffer_.log_sum[i] = x_.log_sum[sums + i];
    }
    Block block{};
    for (block.key = 0; block.key < head_.length; block.key += kKeyBlock) {
      block.keys = std::min(kKeyBlock, head_.length - block.key);
      const size_t first = s_.causal ? block.key / kQueryBlock * kQueryBlock : 0;
      for (block.query = first; block.query < queries; block.query += kQueryBlock) {
        block.queries = std::min(kQueryBlock, queries - block.query);
        AddBlock(block, b, h);
      }
    }
    CopyOut(buffer_.dq, head_.width, queries, head_.size, Size(s_.query.row),
            x_.dq + s_.query.At(b, h, 0));
  }

  void AddBlock(const Block& block, int64_t b, int64_t h) {
    const float* q = buffer_.q + block.query * head_.width;
    const float* dy = buffer_.dy + block.query * head_.value_width;
    Multiply({.a = q,
              .a_row = head_.width,
              .b = buffer_.keys_transposed + block.key * head_.size,
              .b_row = kKeyBlock,
              .c = buffer_.score,
              .c_row = kKeyBlock,
              .m = block.queries,
              .n = block.keys,
              .k = head_.size});
    Multiply({.a = dy,
              .a_row = head_.value_width,
              .b = buffer_.values_transposed + block.key * head_.value_size,
              .b_row = kKeyBlock,
              .c = buffer_.dp,
              .c_row = kKeyBlock,
              .m = block.queries,
              .n = block.keys,
              .k = head_.value_size});
    float* slope = s_.softcap > 0 ? buffer_.slope : nullptr;
    scores_.Finish(block, b, h, buffer_.score, slope);
    for (size_t i = 0; i < block.queries; ++i) {
      const size_t at = i * kKeyBlock;
      ScoreGradients(buffer_.score + at, buffer_.dp + at, slope == nullptr ? nullptr : slope + at,
                     block.keys, buffer_.log_sum[block.query + i], buffer_.delta[block.query + i],
                     static_cast<float>(s_.scale));
    }
    Multiply({.a = buffer_.score,
              .a_row = 1,
              .a_column = kKeyBlock,
              .b = dy,
              .b_row = head_.value_width,
              .c = buffer_.dv + block.key * head_.value_width,
              .c_row = head_.value_width,
              .m = block.keys,
              .n = head_.value_size,
              .k = block.queries,
              .continues = true});
    Multiply({.a = buffer_.dp,
              .a_row = 1,
              .a_column = kKeyBlock,
              .b = q,
              .b_row = head_.width,
              .c = buffer_.dk + block.key * head_.width,
              .c_row = head_.width,
              .m = block.keys,
              .n = head_.size,
              .k = block.queries,
              .continues = true});
    Multiply({.a = buffer_.dp,
              .a_row = kKeyBlock,
              .b = buffer_.keys + block.key * head_.width,
              .b_row = head_.width,
              .c = buffer_.dq + block.query * head_.width,
              .c_row = head_.width,
              .m = block.queries,
              .n = head_.size,
              .k = block.keys,
              .continues = true});
  }

  const AttentionSizes& s_;
  const AttentionGradientOperands& x_;
  Head head_;
  Scores scores_;
  GradientScratch buffer_;
};

}  // namespace

size_t AttentionScratchFloats(const AttentionSizes& s) {
  const Head head(s);
  return PanelWidth(head.padded_length * head.size) + head.length * head.value_width +
         kQueryBlock * (kKeyBlock + head.value_width);
}

void Attention(const AttentionSizes& s, const float* q, const float* k, const float* v,
               const AttentionMask& mask, float* y, float* log_sum, float* scratch) {
  const Head head(s);
  const Scores scores(s, mask);
  float* keys = scratch;
  float* values = keys + PanelWidth(head.padded_length * head.size);
  float* rest = values + head.length * head.value_width;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.query_heads; ++h) {
      if (h % s.group() == 0) {
        const int64_t key_head = h / s.group();
        PackTransposedBlocks(k + s.key.At(b, key_head, 0), Size(s.key.row), head.length, head.size,
                             keys);
        CopyPadded(v + s.value.At(b, key_head, 0), Size(s.value.row), head.length, head.value_size,
                   head.value_width, values);
      }
      float* sums =
          log_sum == nullptr ? nullptr : log_sum + (b * s.query_heads + h) * s.query_length;
      ForwardHead(s, head, scores, b, h, q + s.query.At(b, h, 0), keys, values,
                  y + s.output.At(b, h, 0), sums, rest);
    }
  }
}

size_t AttentionGradientScratchFloats(const AttentionSizes& s) {
  return GradientScratch(s, Head(s), nullptr).floats;
}

void AttentionGradient(const AttentionSizes& s, const AttentionGradientOperands& operands,
                       float* scratch) {
  GradientHead head(s, operands, scratch);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.key_heads; ++h) head.Run(b, h);
  }
}

}  // namespace ingot::cpu
