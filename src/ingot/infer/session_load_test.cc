// Loading: weights are read where they lie in the file, whatever their alignment, packed once for
// all sessions of a model, and nothing is left behind when a session ends.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <malloc.h>

#include "ingot/base/machine.h"
#include "ingot/base/sanitizer.h"
#include "ingot/base/test_folder.h"
#include "ingot/infer/executor.h"
#include "ingot/infer/session.h"
#include "ingot/onnx/test_model.h"

namespace ingot::infer {
namespace {

constexpr int64_t kInputs = 96, kOutputs = 64;

Tensor Filled(const Shape& shape, int seed) {
  Tensor tensor(DType::kF32, shape);
  int state = seed;
  for (float& value : tensor.data<float>()) {
    state = (state * 75 + 74) % 65537;
    value = static_cast<float>(state % 17 - 8);
  }
  return tensor;
}

// y = x w + w[0], z = x w; the length of the name moves the weights in the file.
std::string ModelBytes(const std::string& name, bool also_added) {
  onnx::TestModel model;
  auto graph = model.graph();
  graph.proto().set_name(name);
  graph.Input("x", DType::kF32, {"n", std::to_string(kInputs)});
  graph.Initializer("w", Filled({kInputs, kOutputs}, 3));
  graph.Node("MatMul", {"x", "w"}, {"z"});
  if (also_added) {
    graph.Node("ReduceSum", {"w"}, {"sum"});
    graph.Node("Add", {"z", "sum"}, {"y"});
  }
  graph.Output(also_added ? "y" : "z");
  return model.Bytes();
}

std::string Write(const TestFolder& folder, const std::string& bytes, const std::string& name) {
  const std::string path = folder.path() + "/" + name + ".onnx";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(SessionLoad, WeightsMayStandAnywhereInTheFile) {
  const TestFolder folder;
  const Tensor x = Filled({5, kInputs}, 9), w = Filled({kInputs, kOutputs}, 3);
  double total = 0;
  for (const double value : w.ToDoubles()) total += value;
  for (const bool also_added : {false, true}) {
    for (const std::string name : {"a", "ab", "abc", "abcd"}) {
      const auto session = Session::Load(Write(folder, ModelBytes(name, also_added), name));
      const Tensor y = session->Run(std::vector<Tensor>{x}).at(0);
      for (int64_t i = 0; i < 5; ++i) {
        for (int64_t j = 0; j < kOutputs; ++j) {
          double sum = also_added ? total : 0;  // of small integers: exact in any order
          for (int64_t k = 0; k < kInputs; ++k) {
            sum += static_cast<double>(x.data<float>()[static_cast<size_t>(i * kInputs + k)]) *
                   static_cast<double>(w.data<float>()[static_cast<size_t>(k * kOutputs + j)]);
          }
          ASSERT_EQ(y.data<float>()[static_cast<size_t>(i * kOutputs + j)], sum) << name;
        }
      }
    }
  }
}

TEST(SessionLoad, SessionsOfAModelShareWhatIsPacked) {
  const TestFolder folder;
  const std::string path = Write(folder, ModelBytes("a", false), "a");
  const Tensor x = Filled({5, kInputs}, 9);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<float> expected;
  for (int i = 0; i < 3; ++i) {
    sessions.push_back(i == 2 ? Session::FromBytes(formats::AsBytes(ModelBytes("a", false)))
                              : Session::Load(path));
    const Tensor y = sessions.back()->Run(std::vector<Tensor>{x}).at(0);
    const std::vector<float> values(y.data<float>().begin(), y.data<float>().end());
    if (i == 0) expected = values;
    EXPECT_EQ(values, expected);
    EXPECT_GE(sessions.back()->executor().packed_bytes(), kInputs * kOutputs * sizeof(float));
    if (i == 1) sessions.erase(sessions.begin());  // the second lives on with what the first packed
  }
}

// The bytes that are allocated; 0 where a sanitizer has another allocator.
size_t AllocatedBytes() {
  return ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
}

TEST(SessionLoad, NothingIsLeftBehind) {
  const TestFolder folder;
  const std::string path = Write(folder, ModelBytes("a", true), "a");
  const Tensor x = Filled({1, kInputs}, 9);
  const auto cycle = [&] { Session::Load(path, {.threads = 2})->Run(std::vector<Tensor>{x}); };
  for (int i = 0; i < 30; ++i) cycle();
  const size_t allocated = AllocatedBytes();
  const uint64_t resident = ResidentBytes();
  for (int i = 0; i < 300; ++i) cycle();
  // What threads keep for themselves makes it vary; a hundred bytes a cycle would be seen.
  EXPECT_LT(AllocatedBytes(), allocated + 30'000);
  if (INGOT_SANITIZED) GTEST_SKIP() << "a sanitizer keeps what is freed in memory";
  EXPECT_LT(ResidentBytes(), resident + (uint64_t{1} << 20));
}

}  // namespace
}  // namespace ingot::infer
