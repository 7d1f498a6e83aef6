// ingot data, in files that the tests write or bring along.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"
#include "ingot/formats/npy.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kMnist = INGOT_SOURCE_DIR "/tests/data/mnist";

TEST(DataInfoTest, FolderOfIdxFiles) {
  const Outcome outcome = RunProgram({"data", "info", kMnist});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("training: 2,000 samples of x u8[28, 28], label y u8[]"));
  EXPECT_THAT(outcome.out, HasSubstr("test: 500 samples of x u8[28, 28]"));
  EXPECT_THAT(outcome.out, HasSubstr("values 0 to 255, mean 33.1954"));
  const auto json = nlohmann::json::parse(RunProgram({"data", "info", kMnist, "--json"}).out);
  EXPECT_EQ(json["training"]["samples"], 2000);
  EXPECT_EQ(json["test"]["samples"], 500);
  int64_t sum = 0;
  for (const auto& count : json["training"]["samples_of_class"]) sum += count.get<int64_t>();
  EXPECT_EQ(sum, 2000);
}

TEST(DataInfoTest, ATable) {
  const TestFolder folder;
  WriteTestFile(folder / "t.csv", "age,size,kind\n1,2.5,a\n3,,b\n5,nan,a\n");
  const Outcome outcome = RunProgram({"data", "info", folder / "t.csv"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("3 rows of 3 columns"));
  EXPECT_THAT(outcome.out, HasSubstr("age   1 to 5, mean 3, standard deviation 1.63299"));
  EXPECT_THAT(outcome.out, HasSubstr("size  1 distinct texts, 1 numbers, 1 missing"));
  EXPECT_THAT(outcome.out, HasSubstr("kind  2 distinct texts"));
  const auto json =
      nlohmann::json::parse(RunProgram({"data", "info", folder / "t.csv", "--json"}).out);
  EXPECT_EQ(json["table"]["rows"], 3);
  EXPECT_EQ(json["table"]["columns"][0]["mean"], 3.0);
}

TEST(DataInfoTest, Arrays) {
  const std::string formats = INGOT_SOURCE_DIR "/tests/data/formats/";
  EXPECT_THAT(RunProgram({"data", "info", formats + "grey.png"}).out, HasSubstr("u8[3, 5, 1]"));
  EXPECT_EQ(RunProgram({"data", "info", formats + "c_order.npy"}).status, 0);
  EXPECT_THAT(RunProgram({"data", "info", std::string(kMnist) + "/t10k-labels-idx1-ubyte.gz"}).out,
              HasSubstr("u8[500]\n  values 0 to 9"));
}

TEST(DataInfoTest, WhatItCannotRead) {
  const TestFolder folder;
  EXPECT_EQ(RunProgram({"data", "info", folder / "nothing.csv"}).status, 2);
  EXPECT_THAT(RunProgram({"data", "info", folder / "nothing.csv"}).err,
              HasSubstr("nothing.csv': No such file"));
  EXPECT_EQ(RunProgram({"data", "info", folder.path()}).status, 2);
  EXPECT_THAT(RunProgram({"data", "info", folder.path()}).err,
              HasSubstr("train-images-idx3-ubyte"));
  WriteTestFile(folder / "empty", "");
  EXPECT_THAT(RunProgram({"data", "info", folder / "empty"}).err, HasSubstr("is empty"));
  WriteTestFile(folder / "binary", std::string("\x01\x02\x03", 3));
  EXPECT_EQ(RunProgram({"data", "info", folder / "binary"}).status, 2);
  EXPECT_THAT(RunProgram({"data", "info", folder / "binary"}).err,
              HasSubstr("is no PNG, JPEG, IDX, npy or CSV file"));
  const std::vector<std::byte> complex = formats::EncodeNpy(Tensor(DType::kComplex64, Shape{2}));
  WriteTestFile(folder / "complex.npy",
                std::string(reinterpret_cast<const char*>(complex.data()), complex.size()));
  EXPECT_THAT(RunProgram({"data", "info", folder / "complex.npy"}).err,
              HasSubstr("complex.npy is c64[2], expected real numbers"));
}

TEST(DataGetTest, OnlyWhatThereIs) {
  EXPECT_EQ(RunProgram({"data", "get", "cifar"}).status, 2);
  EXPECT_THAT(RunProgram({"data", "get", "cifar"}).err, HasSubstr("no data set 'cifar'"));
  EXPECT_THAT(RunProgram({"data", "gte", "mnist"}).err, HasSubstr("did you mean 'get'?"));
  EXPECT_THAT(RunProgram({"data"}).err, HasSubstr("needs ACTION"));
  EXPECT_THAT(RunProgram({"data", "get"}).err, HasSubstr("needs WHAT"));
}

}  // namespace
}  // namespace ingot::cli
