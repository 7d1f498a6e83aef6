// For tests of training: small jobs on data in memory, and ways to compare what runs leave behind.
#pragma once

#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/config.h"
#include "ingot/base/file.h"
#include "ingot/data/data_options.h"
#include "ingot/train/trainer.h"

namespace ingot::train {

// Points in 5 dimensions in 3 classes that a small network can learn; `hook`, where given, is
// called whenever a training sample is read.
class PointSource : public data::Source {
 public:
  explicit PointSource(int64_t size, std::function<void(int64_t)> hook = nullptr)
      : size_(size), hook_(std::move(hook)) {
    fields_ = {{"x", DType::kF32, Shape{5}, 0}, {"y", DType::kI64, Shape{}, 3}};
  }
  int64_t size() const override { return size_; }
  const std::vector<data::Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override {
    if (hook_) hook_(record);
    const int64_t label = record % 3;
    if (field == 1) {
      std::memcpy(out, &label, sizeof(label));
      return;
    }
    auto* x = static_cast<float*>(out);
    for (int i = 0; i < 5; ++i) {
      const auto noise = static_cast<float>((record * 7919 + i * 104729) % 1000) / 1000.0f - 0.5f;
      x[i] = noise + (i % 3 == label ? 1.0f : 0.0f);
    }
    if (record == bad_record) x[2] = bad_value;
  }
  std::string Where(int64_t record) const override { return "point " + std::to_string(record); }

  int64_t bad_record = -1;
  float bad_value = 0;

 private:
  int64_t size_;
  std::function<void(int64_t)> hook_;
  std::vector<data::Field> fields_;
};

// Data sets as OpenData would make them from sources of points.
inline data::DataSets PointData(const Job& job, std::shared_ptr<const data::Source> train,
                                int64_t test_size = 60) {
  data::DataSets sets;
  sets.options = job.data;
  sets.train = std::move(train);
  sets.test = std::make_shared<PointSource>(test_size);
  sets.train_selection = data::Selection::All(sets.train->size());
  if (job.data.validation) {
    std::tie(sets.train_selection, sets.validation_selection) =
        sets.train_selection.Split(*job.data.validation, static_cast<uint64_t>(job.seed));
  }
  sets.test_selection = data::Selection::All(test_size);
  const DType precision = PrecisionOf(job);
  for (const data::Field& field : sets.train->fields()) {
    sets.conversions.emplace_back(field);
    sets.conversions.back().Cast(field.name == "y" ? DType::kI64 : precision);
  }
  return sets;
}

// 100 samples in batches of 16: 7 steps an epoch, the last one of 4 samples.
inline Job SmallJob(const std::string& more = "") {
  ConfigNode node = ParseConfig(R"(
epochs: 3
data: {batch: 16}
model:
  layers:
    - dense: {units: 12, activation: relu}
    - dropout: 0.1
    - dense: 3
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.01}}
log: {tensorboard: false}
)",
                                "small.yaml");
  const ConfigNode changes = ParseConfig(more.empty() ? "{}" : more, "more.yaml");
  for (const auto& [key, value] : changes.entries()) {
    node.SetPath(key, value.ToYaml());
  }
  return ReadJob(node);
}

inline TrainRequest SmallRequest(const std::string& more = "", const std::string& out = "",
                                 std::function<void(int64_t)> hook = nullptr) {
  TrainRequest request;
  request.job = SmallJob(more);
  request.setup.data = PointData(request.job, std::make_shared<PointSource>(100, std::move(hook)));
  request.out = out;
  request.threads = 2;
  return request;
}

// Every bit of the weights, by name.
inline std::map<std::string, std::string> BitsOf(const std::vector<formats::NamedTensor>& tensors) {
  std::map<std::string, std::string> bits;
  for (const formats::NamedTensor& tensor : tensors) {
    bits[tensor.name] =
        std::string(reinterpret_cast<const char*>(tensor.tensor.raw()), tensor.tensor.bytes());
  }
  return bits;
}

// metrics.jsonl without the times, which differ from run to run.
inline std::string RecordsOf(const std::string& run) {
  std::string text = ReadFile(run + "/metrics.jsonl");
  const std::string key = "\"seconds\":";
  for (size_t at = text.find(key); at != std::string::npos; at = text.find(key, at)) {
    text.erase(at, text.find_first_of(",}", at) - at);
  }
  return text;
}

}  // namespace ingot::train
