// Random numbers that depend on their key alone: Philox4x32-10, and RandomKey, a stream keyed by
// seed, purpose and numbers (step, sample, ...).
//
// J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
// Everything here is a pure function: element i of a stream does not depend on who asks for it, nor
// on what was asked before. Thread-safe; no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ingot {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

inline constexpr int kPhiloxRounds = 10;
inline constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
inline constexpr uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u;  // the golden ratio
inline constexpr uint32_t kPhiloxWeyl1 = 0xBB67AE85u;  // sqrt(3) - 1

// The block cipher of the paper: four random words for a counter and a key.
constexpr PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(kPhiloxMultiplier0) * counter[0];
    const uint64_t product1 = static_cast<uint64_t>(kPhiloxMultiplier1) * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key = {key[0] + kPhiloxWeyl0, key[1] + kPhiloxWeyl1};
  }
  return counter;
}

// FNV-1a, 64 bits: turns a purpose or a parameter's name into a number.
constexpr uint64_t HashText(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  }
  return hash;
}

// A stream of random numbers, indexed from 0. Streams of different keys are independent: a key is
// 128 bits, derived with Philox from the seed, then from the hash of the purpose, then from the
// numbers folded in, one block each.
//
// The stream consists of blocks of four words: block i is Philox4x32({low(i), high(i), w2, w3},
// {w0, w1}), where w0..w3 are the words of the key. Uint32(n) is word n % 4 of block n / 4; Uint64
// takes words in pairs, and Normal takes a block for each number. Use one kind for one key.
class RandomKey {
 public:
  // A purpose names what the numbers are for ("dropout", "shuffle", "init/fc1.weight"); a and b
  // tell streams of one purpose apart (layer, step, ...).
  constexpr RandomKey(uint64_t seed, std::string_view purpose, uint64_t a = 0, uint64_t b = 0)
      : RandomKey(seed, HashText(purpose), a, b) {}
  constexpr RandomKey(uint64_t seed, uint64_t purpose_hash, uint64_t a = 0, uint64_t b = 0)
      : words_(Philox4x32(Words(purpose_hash, 0), {Low(seed), High(seed)})) {
    *this = Fold(a, b);
  }

  // The key of a part: Fold(sample) for the stream of one sample.
  constexpr RandomKey Fold(uint64_t a, uint64_t b = 0) const {
    // The upper half of the key goes into the block as well, so that all of its bits count.
    const PhiloxCounter counter = {Low(a) ^ words_[2], High(a) ^ words_[3], Low(b), High(b)};
    RandomKey part = *this;
    part.words_ = Philox4x32(counter, {words_[0], words_[1]});
    return part;
  }

  // The words w0..w3 of the key, for vectorised implementations of the stream.
  constexpr const std::array<uint32_t, 4>& words() const { return words_; }

  constexpr PhiloxCounter Block(uint64_t index) const {
    return Philox4x32({Low(index), High(index), words_[2], words_[3]}, {words_[0], words_[1]});
  }
  constexpr uint32_t Uint32(uint64_t index) const { return Block(index / 4)[index % 4]; }
  constexpr uint64_t Uint64(uint64_t index) const {
    const PhiloxCounter block = Block(index / 2);
    const size_t first = index % 2 * 2;
    return static_cast<uint64_t>(block[first + 1]) << 32 | block[first];
  }
  // In [0, 1), a multiple of 2^-53.
  constexpr double Uniform(uint64_t index) const {
    return static_cast<double>(Uint64(index) >> 11) * 0x1p-53;
  }
  // Mean 0, variance 1 (Box and Muller, in f64); at most 8.6 in magnitude.
  double Normal(uint64_t index) const;

 private:
  static constexpr uint32_t Low(uint64_t x) { return static_cast<uint32_t>(x); }
  static constexpr uint32_t High(uint64_t x) { return static_cast<uint32_t>(x >> 32); }
  static constexpr PhiloxCounter Words(uint64_t a, uint64_t b) {
    return {Low(a), High(a), Low(b), High(b)};
  }

  std::array<uint32_t, 4> words_;
};

}  // namespace ingot
