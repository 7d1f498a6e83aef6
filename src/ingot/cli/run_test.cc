// ingot run: arrays in, arrays out, and what it says where they do not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"
#include "ingot/formats/npy.h"

namespace ingot::cli {
namespace {

using testing::HasSubstr;

const std::string kModel = std::string(INGOT_SOURCE_DIR) + "/tests/data/models/vit.dynamo.onnx";

void WriteArrays(const std::string& path, const std::vector<formats::NamedTensor>& arrays) {
  std::vector<std::byte> bytes;
  formats::WriteNpz(arrays, formats::AppendTo(bytes));
  WriteFileAtomically(RealFileSystem(), path, formats::AsText(bytes));
}

class RunVerbTest : public testing::Test {
 protected:
  Outcome Run(const std::vector<formats::NamedTensor>& arrays,
              const std::vector<std::string>& more = {}) {
    WriteArrays(folder_ / "in.npz", arrays);
    std::vector<std::string> arguments = {
        "run", kModel, "--inputs", folder_ / "in.npz", "--outputs", folder_ / "out.npz"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram(arguments);
  }
  TestFolder folder_;
};

TEST_F(RunVerbTest, WritesTheOutputsByName) {
  const auto recorded = formats::NpzFile::Open(kModel.substr(0, kModel.size() - 4) + "npz");
  const Outcome outcome = Run({{"x", recorded.Get("set0.in.x")}}, {"--threads", "1"});
  EXPECT_EQ(outcome.status, kOk) << outcome.err;
  EXPECT_EQ(outcome.out, "y f32[1, 10]\n");
  const Tensor y = formats::NpzFile::Open(folder_ / "out.npz").Get("y");
  const Tensor expected = recorded.Get("set0.out.y");
  for (size_t i = 0; i < 10; ++i) EXPECT_NEAR(y.ToDoubles()[i], expected.ToDoubles()[i], 1e-4);
  EXPECT_EQ(Run({{"x", recorded.Get("set0.in.x")}}, {"--precision", "bf16"}).status, kOk);
}

TEST_F(RunVerbTest, ArraysThatDoNotFitAreAnsweredWithWhatTheModelWants) {
  const Tensor x(DType::kF32, {1, 3, 32, 32});
  const auto wants = HasSubstr("the model wants: x f32[n, 3, 32, 32]");
  const Outcome other_name = Run({{"X", x}});
  EXPECT_EQ(other_name.status, kWrongInput);
  EXPECT_THAT(other_name.err, testing::AllOf(HasSubstr("has no array 'x'"), wants));
  const Outcome one_more = Run({{"x", x}, {"z", x}});
  EXPECT_EQ(one_more.status, kWrongInput);
  EXPECT_THAT(one_more.err, testing::AllOf(HasSubstr("has an array 'z'"), wants));
  const Outcome other_type = Run({{"x", x.Cast(DType::kF64)}});
  EXPECT_EQ(other_type.status, kWrongInput);
  EXPECT_THAT(other_type.err, testing::AllOf(HasSubstr("input 'x' is f64[1, 3, 32, 32]"), wants));
}

TEST_F(RunVerbTest, BothFilesMustBeNamed) {
  const Outcome outcome = RunProgram({"run", kModel, "--inputs", folder_ / "in.npz"});
  EXPECT_EQ(outcome.status, kWrongInput);
  EXPECT_THAT(outcome.err, HasSubstr("--outputs is missing"));
}

}  // namespace
}  // namespace ingot::cli
