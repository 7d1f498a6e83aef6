// SHA-256 against NIST's vectors, both ways of computing it against each other.
#include "ingot/base/sha256.h"

#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"

namespace ingot {
namespace {

std::string SomeBytes(size_t size) {
  std::string bytes;
  uint32_t x = 12345;
  for (size_t i = 0; i < size; ++i) {
    x = x * 1664525 + 1013904223;
    bytes += static_cast<char>(x >> 24);
  }
  return bytes;
}

// The examples of FIPS 180-4 and of NIST's example files.
TEST(Sha256Test, GivesTheDigestsOfTheStandard) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                      "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesGiveTheSameAsTheWhole) {
  const std::string bytes = SomeBytes(1000);
  const std::string whole = Sha256Hex(bytes);
  for (const size_t piece : {1, 3, 55, 56, 63, 64, 65, 127, 128, 999}) {
    Sha256 hash;
    for (size_t i = 0; i < bytes.size(); i += piece) {
      hash.Update(std::string_view(bytes).substr(i, piece));
    }
    EXPECT_EQ(hash.FinishHex(), whole) << piece;
  }
}

TEST(Sha256Test, InstructionsAndPortableCodeAgree) {
  if (!sha256_internal::HasShaInstructions()) GTEST_SKIP() << "no SHA instructions";
  const std::string bytes = SomeBytes(64 * 33 + 1);
  // Also from an odd address.
  const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data()) + 1;
  for (const size_t blocks : {0, 1, 2, 33}) {
    std::vector<uint32_t> a = {1, 2, 3, 4, 5, 6, 7, 0xFFFFFFFF};
    std::vector<uint32_t> b = a;
    sha256_internal::CompressPortable(a.data(), data, blocks);
    sha256_internal::CompressWithInstructions(b.data(), data, blocks);
    EXPECT_EQ(a, b) << blocks;
  }
}

// SHA-256("abc") by the portable code alone: one block, padded by hand.
TEST(Sha256Test, PortableCodeGivesTheDigestOfTheStandard) {
  std::vector<uint8_t> block(64, 0);
  block[0] = 'a';
  block[1] = 'b';
  block[2] = 'c';
  block[3] = 0x80;
  block[63] = 24;
  std::vector<uint32_t> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  sha256_internal::CompressPortable(state.data(), block.data(), 1);
  EXPECT_EQ(state, (std::vector<uint32_t>{0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
                                          0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad}));
}

TEST(Sha256Test, DigestOfAFile) {
  const TestFolder folder;
  WriteFileAtomically(RealFileSystem(), folder / "f", "abc");
  EXPECT_EQ(Sha256HexOfFile(folder / "f"), Sha256Hex("abc"));
}

}  // namespace
}  // namespace ingot
