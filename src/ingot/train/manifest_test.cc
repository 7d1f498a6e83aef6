// Manifest: round trip, and every single damage to its text is found.
#include "ingot/train/manifest.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/sha256.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

Manifest Example() {
  Manifest manifest;
  manifest.step = 469;
  manifest.epoch = 1;
  manifest.seed = 18446744073709551615u;
  manifest.job_digest = "aa";
  manifest.data_digest = "bb \"quoted\" \n";
  manifest.kernel_digest = "cc";
  manifest.best = {"validation_loss", 0.1 + 0.2, 400, 0};
  manifest.early_stopping = {"validation_accuracy", 1.0 / 3, 300, 2};
  manifest.epoch_sums = {{"loss_sum", 12.345678901234567}, {"weight_sum", 384}};
  manifest.interval_sums = {{"loss_sum", 1.0 / 7}, {"weight_sum", 96}};
  manifest.files = {{"model.safetensors", 203784, std::string(64, 'a')},
                    {"optimizer.safetensors", 0, std::string(64, '0')}};
  return manifest;
}

std::string Sealed(const std::string& body) {
  return body + ",\n  \"checksum\": \"" + Sha256Hex(body) + "\"\n}\n";
}

std::string MessageOf(const std::string& text, ErrorCode code = ErrorCode::kCorrupt) {
  try {
    ReadManifest(text, "run/manifest.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.message();
  }
  return "no error";
}

TEST(Manifest, RoundTrip) {
  EXPECT_EQ(ReadManifest(WriteManifest(Example()), "m"), Example());
  EXPECT_EQ(ReadManifest(WriteManifest(Manifest{}), "m"), Manifest{});
  EXPECT_EQ(Example().Find("optimizer.safetensors")->bytes, 0u);
  EXPECT_EQ(Example().Find("other"), nullptr);
}

TEST(Manifest, OneOfBeforeTheIntervalSumsHasNone) {
  Manifest older = Example();
  older.interval_sums.clear();
  const std::string text = WriteManifest(older);
  EXPECT_EQ(text.find("interval_sums"), std::string::npos);
  EXPECT_TRUE(ReadManifest(text, "m").interval_sums.empty());
}

TEST(Manifest, EveryTruncationIsFound) {
  const std::string text = WriteManifest(Example());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_THAT(MessageOf(text.substr(0, size)), HasSubstr("run/manifest.json is damaged")) << size;
  }
  EXPECT_THAT(MessageOf(text + "\n"), HasSubstr("does not end with its checksum"));
}

TEST(Manifest, EveryFlippedBitIsFound) {
  const std::string text = WriteManifest(Example());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THAT(MessageOf(damaged), HasSubstr("run/manifest.json is damaged")) << bit;
  }
}

TEST(Manifest, WrongContentsUnderARightChecksum) {
  EXPECT_THAT(MessageOf(Sealed("{\n  \"format_version\": 1")), HasSubstr("'step' is missing"));
  EXPECT_THAT(MessageOf(Sealed("[1")), HasSubstr("it is not JSON"));
  EXPECT_THAT(MessageOf(Sealed("")), HasSubstr("too short"));
  EXPECT_EQ(MessageOf(Sealed("{\"format_version\": 2"), ErrorCode::kUnsupported),
            "run/manifest.json has format version 2, and this program reads version 1");
  EXPECT_THAT(MessageOf(Sealed("{\"format_version\": -1")), HasSubstr("not a whole number"));

  const std::string text = WriteManifest(Example());
  const std::string body = text.substr(0, text.find(",\n  \"checksum\""));
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = body;
    changed.replace(changed.find(from), from.size(), to);
    return MessageOf(Sealed(changed));
  };
  EXPECT_THAT(replaced("\"step\": 469", "\"step\": 1.5"),
              HasSubstr("'step' is not a whole number"));
  EXPECT_THAT(replaced("\"step\": 469", "\"step\": 18446744073709551615"), HasSubstr("too large"));
  EXPECT_THAT(replaced("\"weight_sum\": 96.0", "\"weight_sum\": []"), HasSubstr("is not a number"));
  EXPECT_THAT(replaced("model.safetensors", "../m"), HasSubstr("'../m' is not the name of a file"));
  EXPECT_THAT(replaced("model.safetensors", "optimizer.safetensors"), HasSubstr("listed twice"));
  EXPECT_THAT(replaced(std::string(64, 'a'), "abc"), HasSubstr("the SHA-256 of model.safetensors"));
}

}  // namespace
}  // namespace ingot::train
