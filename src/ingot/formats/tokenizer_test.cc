// Tokenizers: the numbers are those of the library `tokenizers` (tests/data/text/make.py).
#include "ingot/formats/tokenizer.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "ingot/formats/bpe_training.h"
#include "ingot/formats/pre_tokenizer.h"
#include "ingot/formats/test_support.h"
#include "ingot/formats/unicode.h"

namespace ingot::formats {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kFolder = INGOT_SOURCE_DIR "/tests/data/text/";

json Golden() {
  return json::parse(ReadFile(kFolder + "golden.json"));
}

std::string Unhex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::string> Pieces(std::string_view text) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size(); at += pieces.back().size()) {
    pieces.emplace_back(text.substr(at, PieceLength(text, at)));
  }
  return pieces;
}

TEST(UnicodeTest, ClassesAndBytes) {
  EXPECT_EQ(ClassOf('a'), CharacterClass::kLetter);
  EXPECT_EQ(ClassOf(0x4E00), CharacterClass::kLetter);
  EXPECT_EQ(ClassOf(0x0661), CharacterClass::kNumber);
  EXPECT_EQ(ClassOf(0xBD), CharacterClass::kNumber);
  EXPECT_EQ(ClassOf(0xA0), CharacterClass::kSpace);
  EXPECT_EQ(ClassOf(0x0301), CharacterClass::kOther);
  EXPECT_EQ(ClassOf(0x10FFFF), CharacterClass::kOther);
  EXPECT_EQ(ClassOf(0x110000), CharacterClass::kOther);
  for (const uint32_t code : {0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text;
    AppendUtf8(text, code);
    const Character character = ReadUtf8(text, 0);
    EXPECT_TRUE(character.valid);
    EXPECT_EQ(character.code, code);
    EXPECT_EQ(character.bytes, text.size());
  }
  for (const std::string broken : {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                                   "\xF4\x90\x80\x80", "\xC3", "\xF0\x9F\x98", "\xFF"}) {
    EXPECT_FALSE(ReadUtf8(broken, 0).valid);
    EXPECT_EQ(ReadUtf8(broken, 0).bytes, 1u);
  }
}

TEST(PreTokenizerTest, CutsAsGpt2Does) {
  EXPECT_THAT(Pieces("He's 12x,  they'll"),
              ElementsAre("He", "'s", " 12", "x", ",", " ", " they", "'ll"));
  EXPECT_THAT(Pieces("a \n b  "), ElementsAre("a", " \n", " b", "  "));
  EXPECT_THAT(Pieces("\tx"), ElementsAre("\t", "x"));
  EXPECT_THAT(Pieces(" "), ElementsAre(" "));
  EXPECT_THAT(Pieces("'S ''t"), ElementsAre("'", "S", " ''", "t"));
}

TEST(TokenizerTest, GivesTheNumbersOfTheLibrary) {
  const Tokenizer tokenizer = Tokenizer::ReadJson(kFolder + "tokenizer.json");
  const Tokenizer again = Tokenizer::ParseJson(tokenizer.ToJson(), "again");
  EXPECT_EQ(tokenizer.vocabulary(), 389);  // 256 bytes, 131 merges, 2 added
  const json golden = Golden();
  ASSERT_GT(golden["plain"].size(), 15u);
  for (const json& row : golden["plain"]) {
    const std::string text = Unhex(row["text"]);
    const auto ids = row["ids"].get<std::vector<uint32_t>>();
    EXPECT_EQ(tokenizer.Encode(text), ids) << text;
    EXPECT_EQ(again.Encode(text), ids) << text;
    EXPECT_EQ(tokenizer.Decode(ids), text);
  }
  const std::vector<uint32_t> end = tokenizer.Encode("a<|end|>");
  EXPECT_EQ(end.back(), 387u);
  EXPECT_EQ(tokenizer.Decode(end, true), "a");
}

TEST(TokenizerTest, PrefixSpace) {
  std::string text = ReadFile(kFolder + "tokenizer.json");
  const std::string off = "\"add_prefix_space\":false";
  text.replace(text.find(off), off.size(), "\"add_prefix_space\":true");
  const Tokenizer tokenizer = Tokenizer::ParseJson(text, "prefixed");
  const json golden = Golden();
  ASSERT_GT(golden["prefix_space"].size(), 15u);
  for (const json& row : golden["prefix_space"]) {
    const std::string sample = Unhex(row["text"]);
    EXPECT_EQ(tokenizer.Encode(sample), row["ids"].get<std::vector<uint32_t>>()) << sample;
  }
}

TEST(TokenizerTest, TrainingGivesTheMergesOfTheLibrary) {
  const std::string corpus = ReadFile(kFolder + "corpus.txt");
  const Tokenizer trained = TrainBpe(corpus, 406);
  const json merges = Golden()["trained"];
  ASSERT_EQ(trained.parts().merges.size(), merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const TokenizerParts::Merge& merge = trained.parts().merges[i];
    EXPECT_EQ(CharactersOfBytes(trained.parts().tokens[merge.left]), merges[i][0]) << i;
    EXPECT_EQ(CharactersOfBytes(trained.parts().tokens[merge.right]), merges[i][1]) << i;
  }
  const std::vector<uint32_t> tokens = trained.Encode(corpus);
  EXPECT_LT(tokens.size(), corpus.size() * 2 / 3);
  EXPECT_EQ(trained.Decode(tokens), corpus);
}

TEST(TokenizerTest, BytesAreBytes) {
  const Tokenizer bytes = Tokenizer::Bytes();
  EXPECT_TRUE(bytes.is_bytes());
  EXPECT_TRUE(Tokenizer::ParseJson(bytes.ToJson(), "again").is_bytes());
  EXPECT_THAT(bytes.Encode(std::string_view("\0\xff!", 3)), ElementsAre(0, 255, 33));
  EXPECT_FALSE(TrainBpe("abab", 257).is_bytes());
}

TEST(TokenizerTest, LongPiecesTakeNoQuadraticTime) {
  const Tokenizer tokenizer = Tokenizer::ReadJson(kFolder + "tokenizer.json");
  const std::string text(1 << 18, 'e');
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
}

TEST(TokenizerTest, AnyBytesSurvive) {
  std::string text;
  for (int i = 0; i < 4096; ++i) text.push_back(static_cast<char>(i * 167 + i / 256));
  const Tokenizer trained = TrainBpe(text, 400);
  EXPECT_EQ(trained.Decode(trained.Encode(text)), text);
}

TEST(TokenizerTest, SaysWhatIsWrong) {
  const auto error = [](const std::string& text) {
    return ErrorOf([&] { Tokenizer::ParseJson(text, "t.json"); });
  };
  EXPECT_EQ(error("{").code(), ErrorCode::kCorrupt);
  EXPECT_EQ(error("[]").message(), "t.json is no JSON object");
  EXPECT_EQ(error("{}").message(), "t.json has no model");
  EXPECT_EQ(error(R"({"model": {"type": "WordPiece"}})").message(),
            "t.json uses the model 'WordPiece'");
  EXPECT_EQ(error(R"({"normalizer": {"type": "NFC"}})").message(),
            "t.json uses the normalizer 'NFC'");
  EXPECT_EQ(
      error(R"({"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Metaspace"}})").message(),
      "t.json uses the pre_tokenizer 'Metaspace'");
  const std::string head = R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"vocab": )";
  EXPECT_THAT(error(head + R"({"a": 0, "b": 0}, "merges": []}})").message(),
              HasSubstr("two tokens"));
  EXPECT_THAT(error(head + R"({"a": -1}, "merges": []}})").message(), HasSubstr("number -1"));
  EXPECT_THAT(error(head + R"({"a": 0}, "merges": ["a b"]}})").message(), HasSubstr("'b'"));
  EXPECT_THAT(error(head + R"({"a": 0}, "merges": [1]}})").message(), HasSubstr("not two tokens"));
  const Tokenizer small = Tokenizer::ParseJson(head + R"({"a": 0}, "merges": []}})", "t.json");
  EXPECT_THAT(ErrorOf([&] { small.Encode("b"); }).message(), HasSubstr("no token for byte"));
  EXPECT_THAT(ErrorOf([&] { small.Decode(std::vector<uint32_t>{7}); }).message(),
              HasSubstr("no token 7"));
  EXPECT_THAT(ErrorOf([] { TrainBpe("", 255); }).message(), HasSubstr("255"));
}

}  // namespace
}  // namespace ingot::formats
