// Codecs: values of f32 in fewer bytes for the wire. What comes out of Decode depends on what went
// into Encode alone, and the number of bytes on the codec and the number of elements alone, so that
// both sides know it.
//
//   kBf16     16 bits an element, rounded to nearest
//   kFp16     16 bits an element, scaled by a power of two for each call, so that nothing overflows
//   kTopK     number and value of the largest elements; the others are zero
//   kOneBit   the sign, and the mean of the elements of either sign in each block (Seide et al.
//   2014)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ingot::dist {

enum class Codec : uint8_t { kPlain, kBf16, kFp16, kTopK, kOneBit };

// Whether what is lost in one exchange is added to the next.
inline bool KeepsResidual(Codec codec) {
  return codec == Codec::kTopK || codec == Codec::kOneBit;
}

// `codec` for a tensor of so many elements: what would not gain from it goes plain.
Codec CodecFor(Codec codec, uint64_t elements);

// "none", "bf16", "fp16", "top_k", "one_bit".
Codec CodecOfName(const std::string& name);

class Coder {
 public:
  explicit Coder(double top_k) : top_k_(top_k) {}

  uint64_t Bytes(Codec codec, uint64_t elements) const;
  // Writes Bytes(codec, elements) bytes.
  void Encode(Codec codec, const float* values, uint64_t elements, std::byte* out);
  // values += what was encoded.
  void AddDecoded(Codec codec, const std::byte* in, uint64_t elements, float* values) const;

 private:
  uint64_t Kept(uint64_t elements) const;
  void EncodeTopK(const float* values, uint64_t elements, std::byte* out);

  double top_k_;
  std::vector<float> scratch_;
};

}  // namespace ingot::dist
