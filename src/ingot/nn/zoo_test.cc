// The builders of the zoo: numbers of parameters, as published or as the jobs have them, and
// outputs.
#include "ingot/nn/zoo/zoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/nn/network.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::nn {
namespace {

Network BuildModel(const ModelOptions& model, InputSpec x) {
  static const ir::OpRegistry registry = ops::StandardOps();
  NetworkOptions options;
  options.model = model;
  options.x = std::move(x);
  options.training = true;
  return BuildNetwork(options, registry);
}

struct Expected {
  const char* name;
  ModelOptions model;
  InputSpec x;
  int64_t parameters;
  const char* output;
};

TEST(ZooTest, NetworksHaveTheirParametersAndOutputs) {
  const InputSpec picture{DType::kF32, Shape{3, 32, 32}};
  const zoo::TransformerOptions small{.width = 64, .heads = 4, .blocks = 2};
  const std::vector<Expected> all = {
      {"linear", zoo::Linear(3), {DType::kF32, Shape{8}}, 27, "f32[batch, 3]"},
      {"mlp",
       zoo::Mlp({.hidden = {128, 64}, .outputs = 10, .dropout = 0.1}),
       {DType::kF32, Shape{28, 28}},
       784 * 128 + 128 + 128 * 64 + 64 + 650,
       "f32[batch, 10]"},
      {"autoencoder",
       zoo::Autoencoder({}),
       {DType::kF32, Shape{64}},
       64 * 32 + 32 + 32 * 8 + 8 + 8 * 32 + 32 + 32 * 64 + 64,
       "f32[batch, 64]"},
      {"factorisation",
       zoo::MatrixFactorisation(100, 16),
       {DType::kI64, Shape{2}, 100},
       3200,
       "f32[batch, 1]"},
      {"lenet", zoo::LeNet(10), {DType::kF32, Shape{1, 28, 28}}, 61706, "f32[batch, 10]"},
      {"vgg", zoo::Vgg({8, 16}, 10), picture,
       3 * 8 * 9 + 8 + 8 * 8 * 9 + 8 + 8 * 16 * 9 + 16 + 16 * 16 * 9 + 16 + 1024 * 256 + 256 + 2570,
       "f32[batch, 10]"},
      // torchvision's figures for 1000 classes and the first layer of large pictures.
      {"resnet18",
       zoo::ResNet({.depth = 18, .classes = 1000, .large_pictures = true}),
       {DType::kF32, Shape{3, 64, 64}},
       11689512,
       "f32[batch, 1000]"},
      {"resnet34",
       zoo::ResNet({.depth = 34, .classes = 1000, .large_pictures = true}),
       {DType::kF32, Shape{3, 64, 64}},
       21797672,
       "f32[batch, 1000]"},
      {"resnet50",
       zoo::ResNet({.depth = 50, .classes = 1000, .large_pictures = true}),
       {DType::kF32, Shape{3, 64, 64}},
       25557032,
       "f32[batch, 1000]"},
      {"mobilenetv2", zoo::MobileNetV2(1000), picture, 3504872, "f32[batch, 1000]"},
      {"gpt",
       zoo::Gpt(256, {.width = 384, .heads = 6, .blocks = 6}, false),
       {DType::kI64, Shape{256}, 256},
       10942464,
       "f32[batch, 256, 256]"},
      {"gpt_tied",
       zoo::Gpt(100, small),
       {DType::kI64, Shape{32}, 100},
       100 * 64 + 32 * 64 + 2 * (12 * 64 * 64 + 13 * 64) + 128,
       "f32[batch, 32, 100]"},
      {"bert",
       zoo::Bert(100, 4, small),
       {DType::kI64, Shape{32}, 100},
       100 * 64 + 32 * 64 + 2 * (12 * 64 * 64 + 13 * 64) + 128 + 65 * 64 + 65 * 4,
       "f32[batch, 4]"},
      {"vit", zoo::VisionTransformer(4, 10, small), picture,
       49 * 64 + 64 * 64 + 2 * (12 * 64 * 64 + 13 * 64) + 128 + 650, "f32[batch, 10]"},
      {"lstm",
       zoo::LstmClassifier(16, 10),
       {DType::kF32, Shape{28, 28}},
       2 * 4 * 16 * (28 + 16 + 2) + 4 * 32 * (32 + 32 + 2) + 330,
       "f32[batch, 10]"},
  };
  for (const Expected& expected : all) {
    const Network network = BuildModel(expected.model, expected.x);
    EXPECT_EQ(network.parameter_count(), expected.parameters) << expected.name;
    EXPECT_EQ(network.output("output")->type().ToString(), expected.output) << expected.name;
  }
}

TEST(ZooTest, SaysWhatThereIsNot) {
  try {
    zoo::ResNet({.depth = 20});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), testing::HasSubstr("no ResNet-20, expected 18, 34 or 50"));
  }
  EXPECT_THROW(zoo::Gpt(10, {.width = 10, .heads = 3}), Error);
}

}  // namespace
}  // namespace ingot::nn
