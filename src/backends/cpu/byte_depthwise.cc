// Positions of output, of each the channels in blocks, for every instruction set.
#include "backends/cpu/byte_depthwise.h"

#include <algorithm>
#include <cstring>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/byte_depthwise.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must come first.
#include "hwy/highway.h"

#include "backends/cpu/byte_depthwise_walk-inl.h"
#include "backends/cpu/byte_finish-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Fewer channels than a block has. Bytes with a sign are read without: `flip` is 128, and the zero
// point in `start` larger by it.
HWY_INLINE void SumFew(const std::byte* const* taps, size_t pairs, int32_t flip, size_t count,
                       const int16_t* w, const int32_t* start, int32_t* sums) {
  for (size_t c = 0; c < count; ++c) {
    auto sum = static_cast<uint32_t>(start[c]);
    for (size_t p = 0; p < 2 * pairs; ++p) {
      const int32_t x = std::to_integer<int32_t>(taps[p][c]) ^ flip;
      sum += static_cast<uint32_t>(x * w[(p / 2 * kBlock + c) * 2 + p % 2]);
    }
    sums[c] = static_cast<int32_t>(sum);
  }
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
template <bool kFlip>
HWY_INLINE void SumBlock(const std::byte* const* taps, size_t pairs, size_t c, const int16_t* w,
                         const int32_t* start, __m256i& low, __m256i& high) {
  const auto* from = reinterpret_cast<const __m256i*>(w);
  low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start));
  high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + 8));
#pragma GCC unroll 5
  for (size_t p = 0; p < pairs; ++p) {
    const __m128i a = LoadTap<kFlip>(taps[2 * p] + c), b = LoadTap<kFlip>(taps[2 * p + 1] + c);
    const __m256i x_low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
    const __m256i x_high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(x_low, _mm256_loadu_si256(from + 2 * p)));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(x_high, _mm256_loadu_si256(from + 2 * p + 1)));
  }
}

template <bool kFlip>
HWY_INLINE void SumBlockTo(const std::byte* const* taps, size_t pairs, size_t c, const int16_t* w,
                           const int32_t* start, int32_t* sums) {
  __m256i low, high;
  SumBlock<kFlip>(taps, pairs, c, w, start, low, high);
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums), low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums + 8), high);
}
#else
template <bool kFlip>
HWY_INLINE void SumBlockTo(const std::byte* const* taps, size_t pairs, size_t c, const int16_t* w,
                           const int32_t* start, int32_t* sums) {
  const IntTag d;
  const hn::Rebind<uint8_t, IntTag> narrow;
  const IntVector flip = hn::Set(d, kFlip ? 0x80 : 0);
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < kBlock; i += lanes) {
    const size_t at = c + i;
    IntVector sum = hn::LoadU(d, start + i);
    for (size_t p = 0; p < pairs; ++p) {
      const auto* first = reinterpret_cast<const uint8_t*>(taps[2 * p] + at);
      const auto* second = reinterpret_cast<const uint8_t*>(taps[2 * p + 1] + at);
      const IntVector a = hn::Xor(hn::PromoteTo(d, hn::LoadU(narrow, first)), flip);
      const IntVector b = hn::Xor(hn::PromoteTo(d, hn::LoadU(narrow, second)), flip);
      const auto* weights = reinterpret_cast<const int32_t*>(w) + p * kBlock + i;
      sum = AddPairs<false>(hn::Or(a, hn::ShiftLeft<16>(b)), hn::LoadU(d, weights), sum);
    }
    hn::StoreU(sum, d, sums + i);
  }
}
#endif

#if HWY_TARGET == HWY_AVX2
// All channels of a position, as plain bytes: most of all. Two blocks at once: one alone would have
// to be waited for.
template <bool kFlip, size_t kPairs, typename T>
HWY_INLINE void RunBytes(const ByteDepthwiseRow& call, const std::byte* const* taps, size_t pairs,
                         T* to) {
  const PlainFinish finish(call.finish);
  const size_t blocks = (static_cast<size_t>(call.shape->channels) + kBlock - 1) / kBlock;
  for (size_t block = 0; block < blocks; block += 2) {
    const size_t both[2] = {block, std::min(block + 1, blocks - 1)};
    __m256i sums[2][2];
    __m256 scale[2][2];
    size_t at[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const BlockPlace place = PlaceOf(call, both[i], kPairs > 0 ? kPairs : pairs);
      SumBlock<kFlip>(taps, kPairs > 0 ? kPairs : pairs, place.at, place.w,
                      call.start + place.first, sums[i][0], sums[i][1]);
      scale[i][0] = _mm256_loadu_ps(call.finish.scale + place.first);
      scale[i][1] = _mm256_loadu_ps(call.finish.scale + place.first + 8);
      at[i] = place.at;
    }
    const __m256i bytes = finish.Two<T>(sums[0], scale[0], sums[1], scale[1]);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at[0]), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at[1]), _mm256_extracti128_si256(bytes, 1));
  }
}
#endif

template <bool kFlip, size_t kPairs>
HWY_INLINE void RunPosition(const ByteDepthwiseRow& call, std::byte* to) {
  const auto channels = static_cast<size_t>(call.shape->channels);
  const size_t pairs = static_cast<size_t>(call.taps_count) / 2;
#if HWY_TARGET == HWY_AVX2
  if (channels >= kBlock && call.finish.plain) {
    // On the stack, where writing the result changes nothing.
    const std::byte* own[2 * kPairs + 1];
    if (kPairs > 0) std::memcpy(own, call.taps, sizeof(own) - sizeof(own[0]));
    const std::byte* const* taps = kPairs > 0 ? own : call.taps;
    if (call.finish.type == RequantizeCall::Type::kU8) {
      return RunBytes<kFlip, kPairs>(call, taps, pairs, reinterpret_cast<uint8_t*>(to));
    }
    return RunBytes<kFlip, kPairs>(call, taps, pairs, reinterpret_cast<int8_t*>(to));
  }
#endif
  const size_t item = call.finish.type == RequantizeCall::Type::kF32 ? 4 : 1;
  const size_t lanes = hn::Lanes(IntTag());
  const size_t count = std::min(channels, kBlock);
  HWY_ALIGN int32_t sums[kMostFinished];
  for (size_t block = 0; block * kBlock < channels; ++block) {
    const BlockPlace place = PlaceOf(call, block, pairs);
    if (count < kBlock) {
      std::fill_n(sums, kBlock, 0);
      SumFew(call.taps, pairs, kFlip ? 0x80 : 0, count, place.w, call.start, sums);
    } else {
      SumBlockTo<kFlip>(call.taps, pairs, place.at, place.w, call.start + place.first, sums);
    }
    ByteFinish finish = call.finish;
    finish.scale += place.first;
    if (finish.offset != nullptr) finish.offset += place.first;
    FinishSums(finish, sums, (count + lanes - 1) / lanes, count, to + place.at * item);
  }
}

// Where the taps of a position read, row by row of the filter.
inline void FindTaps(const ByteDepthwiseRow& call, int64_t left) {
  const ConvolutionAxis &rows = call.shape->rows, &columns = call.shape->columns;
  size_t tap = 0;
  for (int64_t i = 0; i < rows.kernel; ++i) {
    const int64_t y = call.row * rows.stride - rows.pad + i * rows.dilation;
    const bool inside = y >= 0 && y < rows.input;
    for (int64_t j = 0; j < columns.kernel; ++j, ++tap) {
      const int64_t x = left + j * columns.dilation;
      const bool meets = inside && x >= 0 && x < columns.input;
      const size_t slot = DepthwiseSlot(*call.shape, tap);
      call.taps[slot] =
          meets ? call.sample + (y * columns.input + x) * call.shape->channels : call.beyond;
      call.steps[slot] = inside ? columns.stride * call.shape->channels : 0;
    }
  }
  if (tap % 2 == 0) return;
  call.taps[tap] = call.beyond;  // with a weight of zero
  call.steps[tap] = 0;
}

template <bool kFlip, size_t kPairs>
HWY_INLINE void RunPositions(const ByteDepthwiseRow& call, int64_t begin, int64_t end) {
  const ConvolutionAxis& columns = call.shape->columns;
  const int64_t item = call.finish.type == RequantizeCall::Type::kF32 ? 4 : 1;
  const int64_t reach = (columns.kernel - 1) * columns.dilation;
  bool was_inside = false;
  for (int64_t j = begin; j < end; ++j) {
    const int64_t left = j * columns.stride - columns.pad;
    const bool inside = left >= 0 && left + reach < columns.input;
    if (inside && was_inside) {
      for (int64_t tap = 0; tap < call.taps_count; ++tap) call.taps[tap] += call.steps[tap];
    } else {
      FindTaps(call, left);
    }
    was_inside = inside;
    RunPosition<kFlip, kPairs>(call, call.to + j * call.shape->channels * item);
  }
}

template <bool kFlip, size_t kPairs>
void RunRow(const ByteDepthwiseRow& call) {
  const ConvolutionAxis& columns = call.shape->columns;
#if HWY_TARGET == HWY_AVX2
  if (kPairs == 5 && CanWalk(call)) {
    const int64_t begin = std::min(CeilDiv(columns.pad, columns.stride), columns.output);
    const int64_t most = (columns.input - 3 + columns.pad) / columns.stride + 1;
    const int64_t end = std::clamp(most, begin, columns.output);
    RunPositions<kFlip, kPairs>(call, 0, begin);
    if (begin < end) WalkRow<kFlip>(call, begin, end);
    return RunPositions<kFlip, kPairs>(call, end, columns.output);
  }
#endif
  RunPositions<kFlip, kPairs>(call, 0, columns.output);
}

void ByteDepthwiseRowImpl(const ByteDepthwiseRow& call) {
  const bool three = IsThreeByThree(*call.shape);
  if (call.is_signed) return three ? RunRow<true, 5>(call) : RunRow<true, 0>(call);
  return three ? RunRow<false, 5>(call) : RunRow<false, 0>(call);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
namespace {

// Below this many multiplications a convolution stays on one thread.
constexpr int64_t kWorthSharing = 300'000;
constexpr int64_t kTasksPerThread = 4;

}  // namespace

HWY_EXPORT(ByteDepthwiseRowImpl);

ByteDepthwise::ByteDepthwise(const ConvolutionShape& shape)
    : shape_(shape),
      taps_(shape.rows.kernel * shape.columns.kernel),
      blocks_(CeilDiv(shape.channels, kDepthwiseBlock)) {}

int64_t ByteDepthwise::SumsBegin() const {
  return blocks_ * pairs() * kDepthwiseBlock * 4;
}

int64_t ByteDepthwise::BlockBegin(int64_t block) const {
  return std::clamp<int64_t>(block * kDepthwiseBlock, 0,
                             std::max<int64_t>(shape_.channels - kDepthwiseBlock, 0));
}

size_t ByteDepthwise::packed_bytes() const {
  return static_cast<size_t>(SumsBegin() + blocks_ * kDepthwiseBlock * 4);
}

void ByteDepthwise::Pack(const std::function<void(int64_t channel, int16_t* line)>& fill,
                         std::byte* to) const {
  std::memset(to, 0, packed_bytes());
  std::vector<int16_t> filter(static_cast<size_t>(taps_));
  std::vector<int16_t> line(static_cast<size_t>(2 * pairs()));
  auto* sums = reinterpret_cast<int32_t*>(to + SumsBegin());
  for (int64_t i = 0; i < blocks_ * kDepthwiseBlock; ++i) {
    const int64_t block = i / kDepthwiseBlock, place = i % kDepthwiseBlock;
    const int64_t channel = BlockBegin(block) + place;
    if (channel >= shape_.channels) continue;
    fill(channel, filter.data());
    for (size_t tap = 0; tap < filter.size(); ++tap) {
      line[DepthwiseSlot(shape_, tap)] = filter[tap];
      sums[i] += filter[tap];
    }
    std::byte* first = to + (block * pairs() * kDepthwiseBlock + place) * 4;
    for (int64_t p = 0; p < pairs(); ++p, first += kDepthwiseBlock * 4) {
      std::memcpy(first, line.data() + 2 * p, 4);
    }
  }
}

// Start, scale and offset of all blocks; a line of zero points; the taps and their steps.
size_t ByteDepthwise::scratch_bytes() const {
  return static_cast<size_t>(blocks_ * kDepthwiseBlock * 12 + RoundUp(shape_.channels + 16, 64) +
                             pairs() * 32);
}

void ByteDepthwise::Run(const std::byte* packed, const ByteOperands& operands, std::byte* scratch,
                        size_t scratch_stride, runtime::Team& team) const {
  const int64_t rows = shape_.samples * shape_.rows.output;
  const auto threads = static_cast<int64_t>(team.threads());
  const int64_t work = rows * shape_.columns.output * shape_.channels * taps_;
  if (threads == 1 || work < kWorthSharing) return RunRows(0, rows, packed, operands, scratch);
  const int64_t tasks = std::min(rows, threads * kTasksPerThread);
  team.ForEach(static_cast<size_t>(tasks), [&](size_t index, size_t thread) {
    const auto i = static_cast<int64_t>(index);
    RunRows(rows * i / tasks, rows * (i + 1) / tasks, packed, operands,
            scratch + thread * scratch_stride);
  });
}

void ByteDepthwise::RunRows(int64_t begin, int64_t end, const std::byte* packed,
                            const ByteOperands& operands, std::byte* scratch) const {
  const int64_t places = blocks_ * kDepthwiseBlock;
  auto* start = reinterpret_cast<int32_t*>(scratch);
  auto* scale = reinterpret_cast<float*>(start + places);
  float* offset = scale + places;
  std::byte* beyond = reinterpret_cast<std::byte*>(offset + places);
  const int64_t line = RoundUp(shape_.channels + 16, 64);
  std::memset(beyond, operands.x_zero, static_cast<size_t>(line));
  const RequantizeCall& given = operands.finish;
  const auto* sums = reinterpret_cast<const int32_t*>(packed + SumsBegin());
  const auto zero = static_cast<uint32_t>(operands.x_zero + (operands.x_signed ? 128 : 0));
  for (int64_t block = 0; block < blocks_; ++block) {
    for (int64_t i = 0; i < kDepthwiseBlock; ++i) {
      const int64_t at = block * kDepthwiseBlock + i, channel = BlockBegin(block) + i;
      const bool there = channel < shape_.channels;
      const int32_t bias = there && given.bias != nullptr ? given.bias[channel] : 0;
      start[at] = static_cast<int32_t>(static_cast<uint32_t>(bias) -
                                       zero * static_cast<uint32_t>(sums[at]));
      scale[at] = there ? given.scale[channel] : 0;
      offset[at] = there && given.offset != nullptr ? given.offset[channel] : 0;
    }
  }
  ByteDepthwiseRow call;
  call.shape = &shape_;
  call.is_signed = operands.x_signed;
  call.beyond = beyond;
  call.w = reinterpret_cast<const int16_t*>(packed);
  call.start = start;
  call.finish = ByteFinish::Of(given, static_cast<size_t>(shape_.channels));
  call.finish.scale = scale;
  if (given.offset != nullptr) call.finish.offset = offset;
  call.taps_count = 2 * pairs();
  call.taps = reinterpret_cast<const std::byte**>(beyond + line);
  call.steps = reinterpret_cast<int64_t*>(call.taps + 2 * pairs());
  const int64_t row_bytes =
      shape_.columns.output * shape_.channels * (given.type == RequantizeCall::Type::kF32 ? 4 : 1);
  for (int64_t i = begin; i < end; ++i) {
    call.sample = operands.x + i / shape_.rows.output * shape_.rows.input * shape_.columns.input *
                                   shape_.channels;
    call.row = i % shape_.rows.output;
    call.to = static_cast<std::byte*>(given.to) + i * row_bytes;
    HWY_DYNAMIC_DISPATCH(ByteDepthwiseRowImpl)(call);
  }
}

}  // namespace ingot::cpu
#endif
