// The products against double loops and against each other, on every instruction set.
#include "backends/cpu/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/buffer_test_util.h"
#include "backends/cpu/kernel_table.h"
#include "ingot/tensor/philox.h"

namespace ingot::cpu {
namespace {

using Kind = Epilogue::Kind;

std::vector<float> Random(size_t count, const std::string& name) {
  const RandomKey key(1, name);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(2 * key.Uniform(i) - 1);
  return values;
}

double Apply(const Epilogue& epilogue, double x, double y) {
  const double alpha = epilogue.alpha;
  switch (epilogue.kind) {
    case Kind::kNone:
      return x;
    case Kind::kRelu:
      return x < 0 ? 0 : x;
    case Kind::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case Kind::kElu:
      return x < 0 ? alpha * std::expm1(x) : x;
    case Kind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Kind::kTanh:
      return std::tanh(x);
    case Kind::kGelu:
      return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
    case Kind::kGeluTanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case Kind::kReluGradient:
      return y > 0 ? x : 0;
    case Kind::kClip:
      return std::clamp(x, alpha, static_cast<double>(epilogue.beta));
    case Kind::kSilu:
      return x / (1 + std::exp(-x));
    case Kind::kHardSwish:
      return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
    case Kind::kHardSigmoid:
      return std::clamp(alpha * x + epilogue.beta, 0.0, 1.0);
  }
  return x;
}

const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kinds = {Kind::kNone, Kind::kRelu,     Kind::kLeakyRelu,
                                          Kind::kElu,  Kind::kSigmoid,  Kind::kTanh,
                                          Kind::kGelu, Kind::kGeluTanh, Kind::kReluGradient};
  return kinds;
}

// What a product is made of.
struct Case {
  size_t m, n, k;
  bool a_transposed = false;
  bool b_transposed = false;
  bool bias = false;
  size_t padding = 0;  // between rows
  Kind kind = Kind::kNone;

  std::string Describe() const {
    return std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k) +
           (a_transposed ? " a^T" : "") + (b_transposed ? " b^T" : "") + (bias ? " bias" : "") +
           " padding " + std::to_string(padding) + " epilogue " +
           std::to_string(static_cast<int>(kind));
  }
};

// Matrices for a case, and its product.
class Product {
 public:
  explicit Product(const Case& c)
      : c_(c),
        a_stride_((c.a_transposed ? c.m : c.k) + c.padding),
        b_stride_((c.b_transposed ? c.k : c.n) + c.padding),
        c_stride_(c.n + c.padding) {
    a_ = Random(Extent(c.a_transposed ? c.k : c.m, c.a_transposed ? c.m : c.k, a_stride_), "a");
    b_ = Random(Extent(c.b_transposed ? c.n : c.k, c.b_transposed ? c.k : c.n, b_stride_), "b");
    bias_ = Random(c.n, "bias");
    y_ = Random(Extent(c.m, c.n, c_stride_), "y");
    for (size_t i = 0; i < y_.size(); i += 5) y_[i] = i % 2 == 0 ? 0.0f : -0.0f;
  }

  std::vector<float>& a() { return a_; }
  std::vector<float>& b() { return b_; }
  float A(size_t i, size_t p) const {
    return a_[c_.a_transposed ? p * a_stride_ + i : i * a_stride_ + p];
  }
  float B(size_t p, size_t j) const {
    return b_[c_.b_transposed ? j * b_stride_ + p : p * b_stride_ + j];
  }
  float Bias(size_t j) const { return bias_[j]; }
  float Y(size_t i, size_t j) const { return y_[i * c_stride_ + j]; }

  // The elements [m, n], dense; what lies between rows must have stayed as it was.
  std::vector<float> Run() const {
    ExactCopy a(a_), b(b_), bias(bias_), y(y_);
    GuardedBuffer out(Extent(c_.m, c_.n, c_stride_) * sizeof(float), 4);
    GuardedBuffer scratch(MatMulScratchFloats(c_.n, c_.k, c_.b_transposed) * sizeof(float));
    MatMulArguments arguments;
    arguments.a = a.floats();
    arguments.a_row_stride = c_.a_transposed ? 1 : a_stride_;
    arguments.a_column_stride = c_.a_transposed ? a_stride_ : 1;
    arguments.b = b.floats();
    arguments.b_stride = b_stride_;
    arguments.b_transposed = c_.b_transposed;
    arguments.c = out.floats();
    arguments.c_stride = c_stride_;
    arguments.m = c_.m;
    arguments.n = c_.n;
    arguments.k = c_.k;
    if (c_.bias) arguments.bias = bias.floats();
    arguments.epilogue = epilogue();
    if (c_.kind == Kind::kReluGradient) arguments.gradient_of = y.floats();
    arguments.scratch = scratch.floats();
    MatMul(arguments);
    EXPECT_TRUE(out.Intact()) << c_.Describe() << " writes beyond c";
    EXPECT_TRUE(scratch.Intact()) << c_.Describe() << " writes beyond its scratch";
    std::vector<float> dense;
    for (size_t i = 0; i < c_.m; ++i) {
      const std::span<const float> row = out.values().subspan(i * c_stride_);
      dense.insert(dense.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(c_.n));
      for (size_t j = c_.n; j < c_stride_ && i + 1 < c_.m; ++j) {
        uint32_t bits = 0;
        std::memcpy(&bits, &row[j], sizeof(bits));
        EXPECT_EQ(bits, 0xffffffffu) << c_.Describe() << " writes between the rows of c";
      }
    }
    return dense;
  }

  void Check() const {
    const std::vector<float> seen = Run();
    const float* const a_begin = a_.data();
    const float* const b_begin = b_.data();
    const size_t a_row = c_.k == 0 ? 0 : c_.a_transposed ? 1 : a_stride_;  // of nothing, no place
    const size_t b_column = c_.k == 0 ? 0 : c_.b_transposed ? b_stride_ : 1;
    for (size_t i = 0; i < c_.m; ++i) {
      for (size_t j = 0; j < c_.n; ++j) {
        double sum = c_.bias ? bias_[j] : 0;
        double size = std::fabs(sum);
        // By pointers: tests are not optimised, and this is where their time goes.
        const float* a = a_begin + i * a_row;
        const float* b = b_begin + j * b_column;
        const size_t a_step = c_.a_transposed ? a_stride_ : 1;
        const size_t b_step = c_.b_transposed ? 1 : b_stride_;
        for (size_t p = 0; p < c_.k; ++p, a += a_step, b += b_step) {
          const double term = static_cast<double>(*a) * *b;
          sum += term;
          size += term < 0 ? -term : term;
        }
        const double expected = Apply(epilogue(), sum, Y(i, j));
        // Every epilogue's slope is at most 1.2; erf is right to 1.5e-7.
        const double allowed = 1.2 * static_cast<double>(c_.k + 2) * 0x1p-24 * size +
                               4e-7 * std::max(1.0, std::fabs(sum));
        ASSERT_NEAR(seen[i * c_.n + j], expected, allowed)
            << c_.Describe() << " at [" << i << ", " << j << "]";
      }
    }
  }

 private:
  // Elements from the first to the last of a matrix, without padding behind it.
  static size_t Extent(size_t rows, size_t columns, size_t stride) {
    return rows == 0 ? 0 : (rows - 1) * stride + columns;
  }
  Epilogue epilogue() const { return {c_.kind, 0.3f}; }

  Case c_;
  size_t a_stride_, b_stride_, c_stride_;
  std::vector<float> a_, b_, bias_, y_;
};

class MatMulTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseInstructionSet(GetParam()); }
  void TearDown() override { UseInstructionSet(""); }
};

INSTANTIATE_TEST_SUITE_P(EverySet, MatMulTest, testing::ValuesIn(InstructionSets()),
                         [](const auto& info) { return info.param; });

// Every m and n up to 40, with k and all variants in turn.
TEST_P(MatMulTest, RaggedShapes) {
  size_t turn = 0;
  for (size_t m = 1; m <= 40; ++m) {
    for (size_t n = 1; n <= 40; ++n) {
      for (size_t repeat = 0; repeat < 2; ++repeat, turn += 5) {
        Case c{m, n, 1 + (7 * m + 11 * n + 13 * repeat) % 40};
        c.a_transposed = (turn & 1) != 0;
        c.b_transposed = (turn & 2) != 0;
        c.bias = (turn & 4) != 0;
        c.padding = (turn & 8) != 0 ? 3 : 0;
        c.kind = Kinds()[turn % Kinds().size()];
        ASSERT_NO_FATAL_FAILURE(Product(c).Check());
      }
    }
  }
}

TEST_P(MatMulTest, EveryDepthUpTo40) {
  for (size_t k = 1; k <= 40; ++k) {
    for (const bool transposed : {false, true}) {
      ASSERT_NO_FATAL_FAILURE(Product({7, 19, k, transposed, transposed}).Check());
      ASSERT_NO_FATAL_FAILURE(Product({9, 32, k, transposed, !transposed}).Check());
    }
  }
}

TEST_P(MatMulTest, EveryEpilogueWithEveryVariant) {
  for (const Kind kind : Kinds()) {
    for (int variant = 0; variant < 16; ++variant) {
      const Case c{13,
                   37,
                   11,
                   (variant & 1) != 0,
                   (variant & 2) != 0,
                   (variant & 4) != 0,
                   (variant & 8) != 0 ? size_t{5} : size_t{0},
                   kind};
      ASSERT_NO_FATAL_FAILURE(Product(c).Check());
    }
  }
}

TEST_P(MatMulTest, LargerShapes) {
  ASSERT_NO_FATAL_FAILURE(Product({1, 1000, 3}).Check());
  ASSERT_NO_FATAL_FAILURE(Product({300, 1, 70, true}).Check());
  ASSERT_NO_FATAL_FAILURE(Product({33, 64, 784, false, false, true, 0, Kind::kRelu}).Check());
  ASSERT_NO_FATAL_FAILURE(Product({65, 129, 67, true, false, true, 0, Kind::kGelu}).Check());
  ASSERT_NO_FATAL_FAILURE(
      Product({65, 97, 129, false, true, false, 1, Kind::kReluGradient}).Check());
}

// Columns of the left side that are zero throughout, as those of images with an empty background:
// skipping them must not show.
TEST_P(MatMulTest, ZerosOnTheLeft) {
  const bool fused = HasFusedMultiplyAdd(GetParam());
  for (const size_t k : {63, 64, 65, 100, 257}) {
    for (const size_t keep_every : {2, 3, 16, 1000}) {
      for (const size_t m : {1, 2, 3, 4, 7, 13}) {
        const Case c{m, 37, k, false, keep_every == 3, true, 0, Kind::kNone};
        Product product(c);
        for (size_t i = 0; i < product.a().size(); ++i) {
          const size_t p = i % k;
          if (p % keep_every != 1) product.a()[i] = 0;
          // One row of a tile alone, and zeros that are negative.
          if (p % 29 == 5 && i / k == 2) product.a()[i] = 0.5f;
          if (p % 31 == 7) product.a()[i] = -0.0f;
        }
        ASSERT_NO_FATAL_FAILURE(product.Check());
        const std::vector<float> seen = product.Run();
        for (size_t i = 0; i < m; ++i) {
          for (size_t j = 0; j < c.n; ++j) {
            float sum = 0;
            for (size_t p = 0; p < k; ++p) {
              const float x = product.A(i, p);
              const float y = product.B(p, j);
              sum = fused ? std::fma(x, y, sum) : static_cast<float>(x * y) + sum;
            }
            ASSERT_EQ(seen[i * c.n + j], sum + product.Bias(j))
                << c.Describe() << " at [" << i << ", " << j << "]";
          }
        }
      }
    }
  }
}

// Without anything to sum up, a product is the epilogue of the bias.
TEST_P(MatMulTest, AnEmptySumIsZero) {
  for (const Kind kind : Kinds()) {
    ASSERT_NO_FATAL_FAILURE(Product({3, 21, 0, false, false, true, 0, kind}).Check());
    ASSERT_NO_FATAL_FAILURE(Product({5, 4, 0, true, true, false, 0, kind}).Check());
  }
}

TEST_P(MatMulTest, NothingIsWrittenWithoutRowsOrColumns) {
  EXPECT_TRUE(Product({0, 8, 4}).Run().empty());
  EXPECT_TRUE(Product({4, 0, 4}).Run().empty());
}

// The contract of matmul.h: upwards in k, each multiply-add rounded once where the set has it.
TEST_P(MatMulTest, SumsGoUpwardsInK) {
  const bool fused = HasFusedMultiplyAdd(GetParam());
  for (const size_t n : {5, 16, 47}) {
    for (int variant = 0; variant < 4; ++variant) {
      const Case c{11, n, 57, (variant & 1) != 0, (variant & 2) != 0};
      const Product product(c);
      const std::vector<float> seen = product.Run();
      for (size_t i = 0; i < c.m; ++i) {
        for (size_t j = 0; j < n; ++j) {
          float sum = 0;
          for (size_t p = 0; p < c.k; ++p) {
            const float x = product.A(i, p);
            const float y = product.B(p, j);
            sum = fused ? std::fma(x, y, sum) : static_cast<float>(x * y) + sum;
          }
          ASSERT_EQ(seen[i * n + j], sum) << c.Describe() << " at [" << i << ", " << j << "]";
        }
      }
    }
  }
}

// A NaN spoils its row or column, and nothing else.
TEST_P(MatMulTest, NotANumberStaysInItsRowAndColumn) {
  for (const bool transposed : {false, true}) {
    for (const Kind kind : {Kind::kNone, Kind::kRelu, Kind::kSigmoid, Kind::kTanh, Kind::kElu}) {
      const Case c{9, 21, 6, false, transposed, true, 0, kind};
      Product product(c);
      product.a()[4 * c.k + 2] = std::numeric_limits<float>::quiet_NaN();
      product.b()[transposed ? 20 * c.k + 1 : 1 * c.n + 20] =
          std::numeric_limits<float>::quiet_NaN();
      const std::vector<float> seen = product.Run();
      for (size_t i = 0; i < c.m; ++i) {
        for (size_t j = 0; j < c.n; ++j) {
          ASSERT_EQ(std::isnan(seen[i * c.n + j]), i == 4 || j == 20)
              << c.Describe() << " at [" << i << ", " << j << "]";
        }
      }
    }
  }
}

TEST_P(MatMulTest, InfinityIsKept) {
  Product product({4, 19, 3});
  product.a()[0] = std::numeric_limits<float>::infinity();
  const std::vector<float> seen = product.Run();
  for (size_t j = 0; j < 19; ++j) {
    EXPECT_EQ(seen[j], product.B(0, j) > 0 ? std::numeric_limits<float>::infinity()
                                           : -std::numeric_limits<float>::infinity());
  }
}

// ---- sums over shards ----

// Samples [floor(s B / S), floor((s + 1) B / S)) of shard s.
std::vector<size_t> ShardRows(size_t batch, size_t shards) {
  std::vector<size_t> rows;
  for (size_t s = 0; s < shards; ++s) rows.push_back((s + 1) * batch / shards - s * batch / shards);
  return rows;
}

// The fixed tree, as ingot.TreeReduce defines it.
float Tree(std::vector<float> parts) {
  for (size_t stride = 1; stride < parts.size(); stride *= 2) {
    for (size_t i = 0; i + stride < parts.size(); i += 2 * stride) parts[i] += parts[i + stride];
  }
  return parts[0];
}

std::vector<float> TreeSumOf(const std::vector<std::vector<float>>& parts) {
  std::vector<std::unique_ptr<ExactCopy>> copies;
  std::vector<const float*> pointers;
  for (const std::vector<float>& part : parts) {
    copies.push_back(std::make_unique<ExactCopy>(part));
    pointers.push_back(copies.back()->floats());
  }
  GuardedBuffer out(parts[0].size() * sizeof(float), 4);
  TreeSum(pointers, parts[0].size(), out.floats());
  EXPECT_TRUE(out.Intact());
  return {out.values().begin(), out.values().end()};
}

TEST_P(MatMulTest, TreeSumIsTheFixedTree) {
  for (const size_t shards : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 31, 33, 64, 100}) {
    for (size_t count = 0; count <= 70; count += shards < 10 ? 1 : 7) {
      std::vector<std::vector<float>> parts;
      for (size_t s = 0; s < shards; ++s) {
        parts.push_back(Random(count, "part " + std::to_string(s)));
        // Magnitudes far apart: another order gives other bits.
        for (float& v : parts.back()) v *= std::ldexp(1.0f, static_cast<int>(s * 7 % 20));
      }
      const std::vector<float> seen = TreeSumOf(parts);
      for (size_t i = 0; i < count; ++i) {
        std::vector<float> column;
        for (const std::vector<float>& part : parts) column.push_back(part[i]);
        ASSERT_EQ(seen[i], Tree(column)) << shards << " shards, element " << i << " of " << count;
      }
    }
  }
}

// x [rows, m] and d [rows, n] of every shard.
struct Shards {
  size_t m, n;
  std::vector<size_t> rows;
  std::vector<std::vector<float>> x, d;
  std::vector<std::vector<uint8_t>> bytes;  // in place of x, where there are any
  static constexpr float kByteScale = 0.125f;

  Shards(size_t m_, size_t n_, size_t batch, size_t shards)
      : m(m_), n(n_), rows(ShardRows(batch, shards)) {
    for (size_t s = 0; s < shards; ++s) {
      x.push_back(Random(rows[s] * m, "x " + std::to_string(s)));
      d.push_back(Random(rows[s] * n, "d " + std::to_string(s)));
    }
  }

  // The x become bytes / 8, of which one in `keep` is not zero.
  void UseBytes(size_t keep) {
    for (size_t s = 0; s < x.size(); ++s) {
      bytes.emplace_back(x[s].size());
      for (size_t i = 0; i < x[s].size(); ++i) {
        const size_t mixed = i * 2654435761u >> 7;
        bytes[s][i] = static_cast<uint8_t>(mixed % keep == 0 ? 1 + mixed % 255 : 0);
        x[s][i] = static_cast<float>(bytes[s][i]) * kByteScale;
      }
    }
  }

  std::vector<float> Tile(size_t begin, size_t end) const {
    std::vector<std::unique_ptr<ExactCopy>> copies;
    std::vector<ShardProduct> products;
    size_t largest = 0;
    for (size_t s = 0; s < rows.size(); ++s) {
      copies.push_back(std::make_unique<ExactCopy>(x[s]));
      const float* left = copies.back()->floats();
      copies.push_back(std::make_unique<ExactCopy>(d[s]));
      products.push_back({left, m, copies.back()->floats(), n, rows[s]});
      if (!bytes.empty())
        products.back() = {nullptr, m, products.back().d, n, rows[s], bytes[s].data()};
      largest = std::max(largest, rows[s]);
    }
    GuardedBuffer out((end - begin) * n * sizeof(float), 4);
    GuardedBuffer scratch(ShardMatMulScratchFloats(rows.size(), largest, n, !bytes.empty()) *
                          sizeof(float));
    ShardMatMulTile(products, begin, end, n, out.floats(), scratch.floats(), kByteScale);
    EXPECT_TRUE(out.Intact()) << Describe() << " writes beyond out";
    EXPECT_TRUE(scratch.Intact()) << Describe() << " writes beyond its scratch";
    return {out.values().begin(), out.values().end()};
  }

  // One product for each shard, then their tree sum.
  std::vector<float> Composed() const {
    std::vector<std::vector<float>> parts;
    for (size_t s = 0; s < rows.size(); ++s) {
      std::vector<float> part(m * n);
      MatMulArguments arguments;
      arguments.a = x[s].data();
      arguments.a_row_stride = 1;
      arguments.a_column_stride = m;
      arguments.b = d[s].data();
      arguments.b_stride = n;
      arguments.c = part.data();
      arguments.c_stride = n;
      arguments.m = m;
      arguments.n = n;
      arguments.k = rows[s];
      GuardedBuffer scratch(MatMulScratchFloats(n, rows[s], false) * sizeof(float));
      arguments.scratch = scratch.floats();
      MatMul(arguments);
      parts.push_back(std::move(part));
    }
    return TreeSumOf(parts);
  }

  std::string Describe() const {
    return std::to_string(rows.size()) + " shards of [" + std::to_string(m) + ", " +
           std::to_string(n) + "]";
  }
};

TEST_P(MatMulTest, ShardMatMulIsAProductForEachShardAndTheirTreeSum) {
  for (size_t shards = 1; shards <= 9; ++shards) {
    for (size_t n = 1; n <= 70; ++n) {
      const size_t m = 1 + (n * 5 + shards) % 21;
      const Shards s(m, n, shards + n % 13, shards);
      const std::vector<float> seen = s.Tile(0, m);
      const std::vector<float> expected = s.Composed();
      for (size_t i = 0; i < seen.size(); ++i) {
        ASSERT_EQ(seen[i], expected[i]) << s.Describe() << " at [" << i / n << ", " << i % n << "]";
      }
    }
  }
}

TEST_P(MatMulTest, ShardMatMulAgreesWithDoubleLoops) {
  for (const size_t shards : {1, 3, 8, 20}) {
    for (const size_t n : {1, 10, 31, 32, 65}) {
      const Shards s(19, n, 41, shards);
      const std::vector<float> seen = s.Tile(0, s.m);
      for (size_t i = 0; i < s.m; ++i) {
        for (size_t j = 0; j < n; ++j) {
          double sum = 0;
          for (size_t shard = 0; shard < shards; ++shard) {
            for (size_t r = 0; r < s.rows[shard]; ++r) {
              sum += static_cast<double>(s.x[shard][r * s.m + i]) * s.d[shard][r * n + j];
            }
          }
          ASSERT_NEAR(seen[i * n + j], sum, 41 * 41 * 0x1p-24)
              << s.Describe() << " at [" << i << ", " << j << "]";
        }
      }
    }
  }
}

// Samples in which whole tiles of x are zero.
TEST_P(MatMulTest, ShardMatMulWithZerosOnTheLeft) {
  for (const size_t shards : {1, 4, 7}) {
    for (const size_t n : {1, 16, 33, 64}) {
      for (const size_t zeros : {1, 3, 8}) {
        Shards s(37, n, 100, shards);
        for (size_t shard = 0; shard < shards; ++shard) {
          for (size_t i = 0; i < s.x[shard].size(); ++i) {
            const size_t column = i % s.m;
            const size_t row = i / s.m;
            if ((column / 4 + row) % (zeros + 1) != 0) s.x[shard][i] = 0;
          }
        }
        const std::vector<float> whole = s.Tile(0, s.m);
        EXPECT_EQ(whole, s.Composed()) << s.Describe();
        for (size_t begin = 0; begin < s.m; begin += 3) {
          const std::vector<float> part = s.Tile(begin, std::min(begin + 6, s.m));
          ASSERT_EQ(std::memcmp(part.data(), whole.data() + begin * n, part.size() * sizeof(float)),
                    0)
              << s.Describe() << ", rows from " << begin;
        }
      }
    }
  }
}

// Bytes give the bits of the numbers that they stand for, whether most are zero or none.
TEST_P(MatMulTest, ShardMatMulOfBytes) {
  for (const size_t shards : {1, 4, 7}) {
    for (const size_t n : {1, 10, 16, 24, 64, 160}) {
      for (const size_t keep : {1, 2, 5, 1000}) {
        Shards s(53, n, 240, shards);
        s.UseBytes(keep);
        const std::vector<float> whole = s.Tile(0, s.m);
        EXPECT_EQ(whole, s.Composed()) << s.Describe() << ", one in " << keep;
        for (size_t begin = 0; begin < s.m; begin += 7) {
          const std::vector<float> part = s.Tile(begin, std::min(begin + 21, s.m));
          ASSERT_EQ(std::memcmp(part.data(), whole.data() + begin * n, part.size() * sizeof(float)),
                    0)
              << s.Describe() << ", rows from " << begin << ", one in " << keep;
        }
      }
    }
  }
}

// Who computes which rows never changes a bit.
TEST_P(MatMulTest, ShardMatMulDoesNotDependOnTheCutIntoTiles) {
  for (const size_t n : {1, 7, 16, 33, 64}) {
    const Shards s(37, n, 23, 5);
    const std::vector<float> whole = s.Tile(0, s.m);
    for (size_t begin = 0; begin < s.m; begin += 3) {
      for (size_t end = begin + 1; end <= s.m; end += 5) {
        const std::vector<float> part = s.Tile(begin, end);
        ASSERT_EQ(std::memcmp(part.data(), whole.data() + begin * n, part.size() * sizeof(float)),
                  0)
            << s.Describe() << ", rows " << begin << " to " << end;
      }
    }
  }
}

}  // namespace
}  // namespace ingot::cpu
