// A session runs a model, from many threads too, and says what it wants where it is given other
// things.
#include "ingot/infer/session.h"

#include <cmath>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/formats/npy.h"
#include "ingot/infer/executor.h"

namespace ingot::infer {
namespace {

using testing::HasSubstr;

const std::string kFolder = std::string(INGOT_SOURCE_DIR) + "/tests/data/models/";

std::unique_ptr<Session> Load(const std::string& name, const SessionOptions& options = {}) {
  return Session::Load(kFolder + name + ".onnx", options);
}

std::vector<Tensor> InputsOf(const Session& session, const std::string& name, int set) {
  const auto arrays = formats::NpzFile::Open(kFolder + name + ".npz");
  std::vector<Tensor> inputs;
  for (const PortInfo& port : session.inputs()) {
    inputs.push_back(arrays.Get("set" + std::to_string(set) + ".in." + port.name));
  }
  return inputs;
}

std::string Refusal(const Session& session, const std::vector<Tensor>& inputs) {
  try {
    session.Run(inputs);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(SessionTest, SaysWhatItTakesAndGives) {
  const auto session = Load("encoder.dynamo");
  ASSERT_EQ(session->inputs().size(), 2u);
  EXPECT_EQ(session->DescribeInputs(), "ids i64[n, t]; mask f32[n, t]");
  EXPECT_EQ(session->inputs()[0].dims, (std::vector<int64_t>{-1, -1}));
  EXPECT_EQ(session->inputs()[0].symbols, (std::vector<std::string>{"n", "t"}));
  ASSERT_EQ(session->outputs().size(), 1u);
  EXPECT_EQ(session->outputs()[0].Describe(), "y f32[n, 3]");
  EXPECT_EQ(session->metadata().at("producer"), "pytorch");
}

TEST(SessionTest, RunsWithOtherExtentsEachTime) {
  const auto session = Load("encoder.dynamo");
  const auto arrays = formats::NpzFile::Open(kFolder + "encoder.dynamo.npz");
  for (const int set : {0, 1, 0}) {
    const Tensor y = session->Run(InputsOf(*session, "encoder.dynamo", set)).at(0);
    const Tensor expected = arrays.Get("set" + std::to_string(set) + ".out.y");
    ASSERT_EQ(y.Describe(), expected.Describe());
    for (int64_t i = 0; i < y.size(); ++i) {
      EXPECT_NEAR(y.ToDoubles()[static_cast<size_t>(i)],
                  expected.ToDoubles()[static_cast<size_t>(i)], 1e-5);
    }
  }
}

TEST(SessionTest, ManyThreadsAtOnce) {
  const auto session = Load("mobilenet_blocks.legacy");
  const std::vector<Tensor> inputs = InputsOf(*session, "mobilenet_blocks.legacy", 0);
  const std::vector<double> expected = session->Run(inputs)[0].ToDoubles();
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3; ++i) equal[t] += session->Run(inputs)[0].ToDoubles() == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, testing::Each(3));
}

TEST(SessionTest, WrongInputsAreAnsweredWithWhatTheModelWants) {
  const auto session = Load("encoder.dynamo");
  const Tensor ids(DType::kI64, {2, 5}), mask(DType::kF32, {2, 5});
  const auto wants = HasSubstr("the model wants: ids i64[n, t]; mask f32[n, t]");
  EXPECT_THAT(Refusal(*session, {ids}), testing::AllOf(HasSubstr("1 inputs were given"), wants));
  EXPECT_THAT(Refusal(*session, {mask, mask}),
              testing::AllOf(HasSubstr("input 'ids' is f32[2, 5], expected i64"), wants));
  EXPECT_THAT(Refusal(*session, {ids, Tensor(DType::kF32, {2})}),
              testing::AllOf(HasSubstr("input 'mask' is f32[2], expected mask f32[n, t]"), wants));
  EXPECT_THAT(Refusal(*session, {ids, Tensor(DType::kF32, {2, 6})}),
              HasSubstr("whose 't' is 6, but that of input 'ids' is 5"));
  EXPECT_THAT(Refusal(*session, {Tensor(), mask}), HasSubstr("input 'ids' is nothing"));
  EXPECT_THAT(Refusal(*Load("vit.dynamo"), {Tensor(DType::kF32, {1, 3, 31, 32})}),
              HasSubstr("input 'x' is f32[1, 3, 31, 32], expected x f32[n, 3, 32, 32]"));
}

TEST(SessionTest, NotANumberPassesThrough) {
  const auto session = Load("mobilenet_blocks.legacy");
  std::vector<Tensor> inputs = InputsOf(*session, "mobilenet_blocks.legacy", 1);
  inputs[0] = inputs[0].Clone();
  inputs[0].data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> y = session->Run(inputs)[0].ToDoubles();
  const std::vector<double> expected =
      session->Run(InputsOf(*session, "mobilenet_blocks.legacy", 1))[0].ToDoubles();
  EXPECT_TRUE(std::isnan(y[0]));
  for (size_t i = 10; i < y.size(); ++i) EXPECT_EQ(y[i], expected[i]);  // the other samples
}

TEST(SessionTest, Bf16IsNearButNotTheSame) {
  SessionOptions options;
  options.precision = ParsePrecision("bf16");
  const auto exact = Load("vit.dynamo"), rounded = Load("vit.dynamo", options);
  const std::vector<Tensor> inputs = InputsOf(*exact, "vit.dynamo", 0);
  const std::vector<double> a = exact->Run(inputs)[0].ToDoubles();
  const std::vector<double> b = rounded->Run(inputs)[0].ToDoubles();
  double largest = 0, difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i]));
    difference = std::max(difference, std::abs(a[i] - b[i]));
  }
  EXPECT_GT(difference, 1e-6 * largest);
  EXPECT_LT(difference, 5e-2 * largest);
  EXPECT_THROW(ParsePrecision("f16"), Error);
}

TEST(SessionTest, LoadsFromBytes) {
  const std::string bytes = ReadFile(kFolder + "mobilenet_blocks.legacy.onnx");
  const auto session = Session::FromBytes(formats::AsBytes(bytes));
  EXPECT_EQ(session->Run(InputsOf(*session, "mobilenet_blocks.legacy", 0)).size(), 1u);
  EXPECT_THROW(Session::FromBytes(formats::AsBytes(bytes).first(1000)), Error);
}

TEST(SessionTest, MissingFilesAreNamed) {
  try {
    Load("encoder.dynami");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("encoder.dynamo.onnx"));
  }
}

TEST(SessionTest, ResultsAreCopiedIntoMemoryThatFitsThem) {
  const std::vector<std::string> names = {"y"};
  const std::vector<Tensor> results = {Tensor::Of<float>({2}, std::vector<float>{3, 4})};
  std::vector<Tensor> given = {Tensor(DType::kF32, Shape{2})};
  const Tensor same = given[0];  // of the same memory
  CopyOutputs(names, results, given);
  EXPECT_EQ(same.ToDoubles(), (std::vector<double>{3, 4}));
  for (const Tensor& other : {Tensor(DType::kF32, Shape{3}), Tensor(DType::kI32, Shape{2})}) {
    given = {other};
    EXPECT_THROW(CopyOutputs(names, results, given), Error);
  }
}

}  // namespace
}  // namespace ingot::infer
