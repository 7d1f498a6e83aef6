// Codecs for the wire: see codec.h.
#include "ingot/dist/codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "ingot/base/error.h"
#include "ingot/tensor/half.h"

namespace ingot::dist {
namespace {

// Below that a tensor's bytes do not count, but its accuracy does: biases and norms.
constexpr uint64_t kLeastElements = 1024;
constexpr uint64_t kBlock = 512;  // of kOneBit
constexpr uint64_t kBlockBytes = 2 * sizeof(float) + kBlock / 8;
constexpr int kLargestExponent = 15;  // of fp16

uint64_t BlocksOf(uint64_t elements) {
  return (elements + kBlock - 1) / kBlock;
}

template <typename T>
void Put(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof(value));
}

template <typename T>
T Get(const std::byte* in) {
  T value;
  std::memcpy(&value, in, sizeof(value));
  return value;
}

void EncodeBf16(const float* values, uint64_t elements, std::byte* out) {
  for (uint64_t i = 0; i < elements; ++i) Put(out + 2 * i, BFloat16(values[i]).bits);
}

void AddBf16(const std::byte* in, uint64_t elements, float* values) {
  for (uint64_t i = 0; i < elements; ++i) {
    values[i] += BFloat16::FromBits(Get<uint16_t>(in + 2 * i));
  }
}

// The power of two by which the largest value comes near the end of fp16's range.
float ScaleOf(const float* values, uint64_t elements) {
  float largest = 0;
  for (uint64_t i = 0; i < elements; ++i) largest = std::max(largest, std::abs(values[i]));
  if (largest == 0 || !std::isfinite(largest)) return 1;
  return std::ldexp(1.0f, std::min(kLargestExponent - 1 - std::ilogb(largest), 100));
}

void EncodeFp16(const float* values, uint64_t elements, std::byte* out) {
  const float scale = ScaleOf(values, elements);
  Put(out, scale);
  out += sizeof(float);
  for (uint64_t i = 0; i < elements; ++i) Put(out + 2 * i, Float16(values[i] * scale).bits);
}

void AddFp16(const std::byte* in, uint64_t elements, float* values) {
  const float inverse = 1 / Get<float>(in);
  in += sizeof(float);
  for (uint64_t i = 0; i < elements; ++i) {
    values[i] += inverse * Float16::FromBits(Get<uint16_t>(in + 2 * i));
  }
}

void EncodeOneBit(const float* values, uint64_t elements, std::byte* out) {
  for (uint64_t begin = 0; begin < elements; begin += kBlock, out += kBlockBytes) {
    const uint64_t count = std::min(kBlock, elements - begin);
    float sums[2] = {0, 0};
    float counts[2] = {0, 0};
    uint8_t bits[kBlock / 8] = {};
    for (uint64_t i = 0; i < count; ++i) {
      const float value = values[begin + i];
      const size_t positive = value >= 0 ? 1 : 0;
      sums[positive] += value;
      counts[positive] += 1;
      bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | positive << (i % 8));
    }
    Put(out, counts[0] > 0 ? sums[0] / counts[0] : 0.0f);
    Put(out + sizeof(float), counts[1] > 0 ? sums[1] / counts[1] : 0.0f);
    std::memcpy(out + 2 * sizeof(float), bits, sizeof(bits));
  }
}

void AddOneBit(const std::byte* in, uint64_t elements, float* values) {
  for (uint64_t begin = 0; begin < elements; begin += kBlock, in += kBlockBytes) {
    const uint64_t count = std::min(kBlock, elements - begin);
    const float means[2] = {Get<float>(in), Get<float>(in + sizeof(float))};
    const std::byte* bits = in + 2 * sizeof(float);
    for (uint64_t i = 0; i < count; ++i) {
      const auto bit = static_cast<unsigned>(bits[i / 8]) >> (i % 8) & 1u;
      values[begin + i] += means[bit];
    }
  }
}

}  // namespace

Codec CodecFor(Codec codec, uint64_t elements) {
  return elements < kLeastElements ? Codec::kPlain : codec;
}

Codec CodecOfName(const std::string& name) {
  if (name == "bf16") return Codec::kBf16;
  if (name == "fp16") return Codec::kFp16;
  if (name == "top_k") return Codec::kTopK;
  if (name == "one_bit") return Codec::kOneBit;
  INGOT_ASSERT(name == "none", "no such codec: " + name);
  return Codec::kPlain;
}

uint64_t Coder::Kept(uint64_t elements) const {
  const double share = std::ceil(top_k_ * static_cast<double>(elements));
  return std::clamp<uint64_t>(static_cast<uint64_t>(share), 1, elements);
}

uint64_t Coder::Bytes(Codec codec, uint64_t elements) const {
  if (elements == 0) return 0;
  switch (codec) {
    case Codec::kPlain:
      return elements * sizeof(float);
    case Codec::kBf16:
      return elements * 2;
    case Codec::kFp16:
      return sizeof(float) + elements * 2;
    case Codec::kTopK:
      return Kept(elements) * (sizeof(uint32_t) + sizeof(float));
    case Codec::kOneBit:
      return BlocksOf(elements) * kBlockBytes;
  }
  return 0;
}

void Coder::Encode(Codec codec, const float* values, uint64_t elements, std::byte* out) {
  if (elements == 0) return;
  switch (codec) {
    case Codec::kPlain:
      std::memcpy(out, values, elements * sizeof(float));
      break;
    case Codec::kBf16:
      EncodeBf16(values, elements, out);
      break;
    case Codec::kFp16:
      EncodeFp16(values, elements, out);
      break;
    case Codec::kTopK:
      EncodeTopK(values, elements, out);
      break;
    case Codec::kOneBit:
      EncodeOneBit(values, elements, out);
      break;
  }
}

// Of equal magnitudes the first ones are kept, so that the choice depends on the values alone.
void Coder::EncodeTopK(const float* values, uint64_t elements, std::byte* out) {
  const uint64_t kept = Kept(elements);
  const auto magnitude = [](float value) {
    // What is no number must be seen by all.
    return std::isnan(value) ? std::numeric_limits<float>::infinity() : std::abs(value);
  };
  scratch_.resize(elements);
  std::transform(values, values + elements, scratch_.begin(), magnitude);
  const auto middle = scratch_.begin() + static_cast<std::ptrdiff_t>(kept - 1);
  std::nth_element(scratch_.begin(), middle, scratch_.end(), std::greater<>());
  const float least = *middle;
  const auto above = static_cast<uint64_t>(
      std::count_if(values, values + elements, [&](float v) { return magnitude(v) > least; }));
  uint64_t equal = kept - above;
  for (uint64_t i = 0; i < elements; ++i) {
    const float m = magnitude(values[i]);
    if (m < least || (m == least && equal == 0)) continue;
    if (m == least) --equal;
    Put(out, static_cast<uint32_t>(i));
    Put(out + sizeof(uint32_t), values[i]);
    out += sizeof(uint32_t) + sizeof(float);
  }
}

void Coder::AddDecoded(Codec codec, const std::byte* in, uint64_t elements, float* values) const {
  if (elements == 0) return;
  switch (codec) {
    case Codec::kPlain:
      for (uint64_t i = 0; i < elements; ++i) values[i] += Get<float>(in + sizeof(float) * i);
      break;
    case Codec::kBf16:
      AddBf16(in, elements, values);
      break;
    case Codec::kFp16:
      AddFp16(in, elements, values);
      break;
    case Codec::kTopK:
      for (uint64_t i = 0; i < Kept(elements); ++i, in += sizeof(uint32_t) + sizeof(float)) {
        values[Get<uint32_t>(in)] += Get<float>(in + sizeof(uint32_t));
      }
      break;
    case Codec::kOneBit:
      AddOneBit(in, elements, values);
      break;
  }
}

}  // namespace ingot::dist
