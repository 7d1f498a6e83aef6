// For tests of checkpoints: examples whose contents follow from a number, and comparing them.
#pragma once

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/train/checkpoint.h"

namespace ingot::train {

inline Checkpoint ExampleCheckpoint(int64_t step, float salt = 0) {
  Checkpoint checkpoint;
  checkpoint.manifest.step = step;
  checkpoint.manifest.epoch = step / 10;
  checkpoint.manifest.seed = 42;
  checkpoint.manifest.job_digest = "job";
  checkpoint.manifest.best = {"validation_loss", 0.25, step, 1};
  const auto base = static_cast<float>(step) + salt;
  checkpoint.parameters = {
      {"dense.weight", Tensor::Of<float>({2, 3}, {base, 1, 2, 3, 4, 5})},
      {"dense.bias", Tensor::Of<float>({3}, {base + 1, 0, -1})},
  };
  checkpoint.optimizer_state = {
      {"dense.weight.m", Tensor::Of<float>({2, 3}, {base, 0, 0, 0, 0, 1})},
      {"dense.weight.v", Tensor::Of<double>({1}, {base})},
  };
  return checkpoint;
}

inline void ExpectTensors(const std::vector<formats::NamedTensor>& actual,
                          const std::vector<formats::NamedTensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const formats::NamedTensor& wanted : expected) {
    bool found = false;
    for (const formats::NamedTensor& tensor : actual) {
      if (tensor.name != wanted.name) continue;
      found = true;
      EXPECT_EQ(tensor.tensor.Describe(), wanted.tensor.Describe());
      EXPECT_EQ(tensor.tensor.ToDoubles(), wanted.tensor.ToDoubles()) << wanted.name;
    }
    EXPECT_TRUE(found) << wanted.name;
  }
}

inline void ExpectCheckpoint(const Checkpoint& actual, const Checkpoint& expected) {
  EXPECT_EQ(actual.manifest.step, expected.manifest.step);
  EXPECT_EQ(actual.manifest.epoch, expected.manifest.epoch);
  EXPECT_EQ(actual.manifest.best, expected.manifest.best);
  ExpectTensors(actual.parameters, expected.parameters);
  if (expected.resumable) ExpectTensors(actual.optimizer_state, expected.optimizer_state);
}

}  // namespace ingot::train
