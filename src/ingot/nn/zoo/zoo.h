// The networks of examples/zoo as C++ functions: each gives the `model:` section of a job, for
// nn::BuildNetwork or train::Job::model.
//
//   train::Job job = ...;
//   job.model = nn::zoo::ResNet({.depth = 50, .classes = 100});
//
// All take pictures as [C, H, W], sequences as [length, features] or tokens [length]. Throws
// Error(kInvalidInput) for sizes that no network has.
#pragma once

#include <cstdint>
#include <vector>

#include "ingot/nn/network.h"

namespace ingot::nn::zoo {

// ---- dense.cc ----
// One dense layer: linear regression, and logistic regression by one logit or one for each class.
ModelOptions Linear(int64_t outputs);

struct MlpOptions {
  std::vector<int64_t> hidden = {128, 128};
  int64_t outputs = 10;
  double dropout = 0;
};
ModelOptions Mlp(const MlpOptions& options);

struct AutoencoderOptions {
  int64_t inputs = 64;
  std::vector<int64_t> hidden = {32};  // of the encoder; the decoder has them backwards
  int64_t code = 8;
};
ModelOptions Autoencoder(const AutoencoderOptions& options);

// Samples [user, item], both numbers below `vocabulary`; the output is one score.
ModelOptions MatrixFactorisation(int64_t vocabulary, int64_t width);

// ---- convolutional.cc ----
// LeNet-5 (LeCun et al. 1998), pictures [1, 28, 28].
ModelOptions LeNet(int64_t classes);
// Stages of two 3 x 3 convolutions and a pooling.
ModelOptions Vgg(const std::vector<int64_t>& filters, int64_t classes);

struct ResNetOptions {
  int64_t depth = 18;  // 18, 34, 50 (He et al. 2016)
  int64_t classes = 10;
  // The first layer for large pictures: 7 x 7 with stride 2 and a pooling; else 3 x 3.
  bool large_pictures = false;
};
ModelOptions ResNet(const ResNetOptions& options);

// MobileNetV2 (Sandler et al. 2018) for pictures of 32 x 32.
ModelOptions MobileNetV2(int64_t classes);

// ---- sequences.cc ----
struct TransformerOptions {
  int64_t width = 128;
  int64_t heads = 4;
  int64_t blocks = 4;
  double dropout = 0;
};
// A decoder as GPT-2 (Radford et al. 2019); its output is tied to the embedding or of its own.
ModelOptions Gpt(int64_t vocabulary, const TransformerOptions& options, bool tied = true);
// An encoder as BERT (Devlin et al. 2019) that classifies sequences by their first place.
ModelOptions Bert(int64_t vocabulary, int64_t classes, const TransformerOptions& options);
// Dosovitskiy et al. 2021, by the mean over the patches.
ModelOptions VisionTransformer(int64_t patch, int64_t classes, const TransformerOptions& options);

// Two LSTMs, the first of which reads both ways.
ModelOptions LstmClassifier(int64_t units, int64_t classes);

}  // namespace ingot::nn::zoo
