// ingot inspect and compare on small models of other exporters.
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"

namespace ingot::cli {
namespace {

using testing::HasSubstr;

const std::string kFolder = std::string(INGOT_SOURCE_DIR) + "/tests/data/models/";

TEST(InspectTest, SaysWhatAModelIs) {
  const Outcome outcome = RunProgram({"inspect", kFolder + "mobilenet_blocks.legacy.onnx"});
  EXPECT_EQ(outcome.status, kOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("opset 13, by pytorch"));
  EXPECT_THAT(outcome.out, HasSubstr("x                    f32[n, 3, 48, 48]"));
  EXPECT_THAT(outcome.out, HasSubstr("y                    f32[n, 10]"));
  EXPECT_THAT(outcome.out, HasSubstr("GlobalAveragePool            1"));
}

TEST(InspectTest, FlopsFollowTheExtents) {
  const auto flops = [](const std::string& dim) {
    const Outcome outcome =
        RunProgram({"inspect", kFolder + "vit.legacy.onnx", "--json", "--dim", dim});
    EXPECT_EQ(outcome.status, kOk) << outcome.err;
    const auto json = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(json["nodes_of_unknown_shape"], 0);
    return json["flops"].get<double>();
  };
  EXPECT_GT(flops("n=1"), 1e5);
  EXPECT_DOUBLE_EQ(flops("n=8"), 8 * flops("n=1"));
  EXPECT_EQ(RunProgram({"inspect", kFolder + "vit.legacy.onnx", "--dim", "m=1"}).status,
            kWrongInput);
  EXPECT_THAT(
      RunProgram({"inspect", kFolder + "vit.legacy.onnx", "--dim", "n=999999999999999"}).out,
      HasSubstr("e+2"));  // more than a whole number of 64 bits
}

TEST(InspectTest, DrawsTheGraph) {
  const TestFolder folder;
  const Outcome outcome =
      RunProgram({"inspect", kFolder + "unet.dynamo.onnx", "--svg", folder / "unet.svg"});
  EXPECT_EQ(outcome.status, kOk) << outcome.err;
  const std::string svg = ReadFile(folder / "unet.svg");
  EXPECT_THAT(svg, testing::StartsWith("<svg"));
  EXPECT_THAT(svg, testing::AllOf(HasSubstr("ConvTranspose"), HasSubstr("Resize")));
}

TEST(CompareTest, OneModelInTwoPrecisionsAndTwoModels) {
  const std::string model = kFolder + "conv_bn_se.legacy.onnx";
  const Outcome bf16 =
      RunProgram({"compare", model, "--precision", "bf16", "--dim", "n=3", "--json"});
  ASSERT_EQ(bf16.status, kOk) << bf16.err;
  const auto json = nlohmann::json::parse(bf16.out)[0];
  EXPECT_EQ(json["output"], "y");
  EXPECT_EQ(json["rows"], 3);
  EXPECT_GT(json["largest_difference"], 0);
  EXPECT_LT(json["relative_difference"], 0.05);
  EXPECT_EQ(RunProgram({"compare", model, "--precision", "bf16", "--tolerance", "1e-9"}).status,
            kFailed);
  const Outcome quantised = RunProgram({"compare", model, kFolder + "conv_bn_se.qdq.onnx"});
  EXPECT_EQ(quantised.status, kOk) << quantised.err;
  EXPECT_EQ(RunProgram({"compare", model}).status, kWrongInput);
}

}  // namespace
}  // namespace ingot::cli
