// ModelMetadata: round trip through text, and damaged texts.
#include "ingot/train/model_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot::train {
namespace {

using ::testing::HasSubstr;

TEST(ModelMetadata, KeepsWhatTheDataStore) {
  ModelMetadata metadata{DType::kU8, Shape{16}, 0, {}, 256};
  metadata.stored["tokenizer"] = "{\"model\": 1}";
  const ModelMetadata read = ReadModelMetadata(metadata.Write(), "m");
  EXPECT_EQ(read.stored, metadata.stored);
}

TEST(ModelMetadata, RoundTrip) {
  const ModelMetadata metadata{DType::kU8, Shape{28, 28}, 3, {"cat", "d\"o\"g", "bird\n"}, 0};
  const auto text = metadata.Write();
  EXPECT_EQ(text.at("input"), "u8[28, 28]");
  const ModelMetadata read = ReadModelMetadata(text, "m");
  EXPECT_EQ(read.input_type, DType::kU8);
  EXPECT_EQ(read.input_shape, (Shape{28, 28}));
  EXPECT_EQ(read.classes, 3);
  EXPECT_EQ(read.class_names, metadata.class_names);
  EXPECT_EQ(read.input_classes, 0);
  const ModelMetadata tokens{DType::kU16, Shape{64}, 0, {}, 300};
  EXPECT_EQ(ReadModelMetadata(tokens.Write(), "m").input_classes, 300);
  const ModelMetadata scalar{DType::kF32, Shape{}, 0, {}, 0};
  EXPECT_EQ(ReadModelMetadata(scalar.Write(), "m").input_shape, Shape{});
}

TEST(ModelMetadata, WhatIsWrongIsNamed) {
  const auto message = [](const std::map<std::string, std::string>& metadata) {
    try {
      ReadModelMetadata(metadata, "run/final");
    } catch (const Error& error) {
      return error.message();
    }
    return std::string("no error");
  };
  EXPECT_EQ(message({}), "run/final does not say its 'input'");
  EXPECT_EQ(message({{"input", "u8"}, {"classes", "1"}}), "run/final says that its input is 'u8'");
  EXPECT_THAT(message({{"input", "u9[3]"}, {"classes", "1"}}), HasSubstr("u9"));
  EXPECT_THAT(message({{"input", "u8[3, x]"}, {"classes", "1"}}), HasSubstr("says 'x' where"));
  EXPECT_THAT(message({{"input", "u8[3]"}, {"classes", "-1"}}), HasSubstr("says '-1' where"));
  EXPECT_THAT(message({{"input", "u8[3]"}, {"classes", "2"}, {"class_names", "[1, 2]"}}),
              HasSubstr("damaged class_names"));
}

}  // namespace
}  // namespace ingot::train
