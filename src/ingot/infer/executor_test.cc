// The executor gives what the interpreter gives, from many threads, for changing shapes, without
// allocating.
#include "ingot/infer/executor.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/base/machine.h"
#include "ingot/base/sanitizer.h"
#include "ingot/ir/builder.h"
#include "ingot/ops/interpreter.h"
#include "ingot/ops/standard_ops.h"

namespace ingot::infer {
namespace {

using ::testing::HasSubstr;

const ir::OpRegistry& Registry() {
  static const ir::OpRegistry registry = ops::StandardOps();
  return registry;
}

Tensor Random(const Shape& shape, uint64_t seed, float scale = 1) {
  Tensor tensor(DType::kF32, shape);
  uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (float& value : tensor.data<float>()) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = scale * (static_cast<float>(state >> 40) / 8388608.0F - 1);
  }
  return tensor;
}

double LargestDifference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.Describe(), b.Describe());
  double largest = 0;
  for (size_t i = 0; i < a.data<float>().size(); ++i) {
    largest = std::max<double>(largest, std::abs(a.data<float>()[i] - b.data<float>()[i]));
  }
  return largest;
}

std::unique_ptr<ir::Graph> Mlp() {
  auto graph = std::make_unique<ir::Graph>("mlp");
  ir::Builder b(*graph, Registry());
  ir::Value* x = graph->AddInput("x", ir::Type::Tensor(DType::kF32, {ir::Dimension("batch"), 50}));
  ir::Value* h = b.Op("Gemm", {x, b.Constant(Random({50, 33}, 1)), b.Constant(Random({33}, 2))});
  h = b.Op("Relu", {h});
  h = b.Op("MatMul", {h, b.Constant(Random({33, 10}, 3))});
  graph->AddOutput(b.Op("Softmax", {h}), "y");
  return graph;
}

// Convolutions with batch norm, a residual, a strided and a depthwise one, and a classifier.
std::unique_ptr<ir::Graph> Cnn() {
  using Ints = std::vector<int64_t>;
  auto graph = std::make_unique<ir::Graph>("cnn");
  ir::Builder b(*graph, Registry());
  ir::Value* x =
      graph->AddInput("x", ir::Type::Tensor(DType::kF32, {ir::Dimension("batch"), 3, 18, 17}));
  const ir::Attributes same = {{"pads", Ints{1, 1, 1, 1}}};
  const auto conv = [&](ir::Value* in, int64_t out, int64_t channels, uint64_t seed,
                        ir::Attributes attributes) {
    return b.Op("Conv", {in, b.Constant(Random({out, channels, 3, 3}, seed, 0.3F))},
                std::move(attributes));
  };
  ir::Value* h = conv(x, 16, 3, 1, same);
  Tensor variance = Random({16}, 5);
  for (float& v : variance.data<float>()) v = v * v + 0.5F;
  h = b.Op("BatchNormalization", {h, b.Constant(Random({16}, 2)), b.Constant(Random({16}, 3)),
                                  b.Constant(Random({16}, 4)), b.Constant(variance)});
  h = b.Op("Relu", {h});
  ir::Value* branch = conv(h, 16, 16, 6, same);
  h = b.Op("Relu", {b.Op("Add", {branch, h})});
  ir::Attributes strided = same;
  strided["strides"] = Ints{2, 2};
  h = conv(h, 40, 16, 7, strided);
  h = b.Op("Clip", {h, b.Constant(Tensor::Scalar(0.0F)), b.Constant(Tensor::Scalar(6.0F))});
  ir::Attributes depthwise = same;
  depthwise["group"] = int64_t{40};
  h = b.Op("HardSwish", {conv(h, 40, 1, 8, depthwise)});
  h = b.Op("Conv", {h, b.Constant(Random({24, 40, 1, 1}, 9, 0.2F)), b.Constant(Random({24}, 10))});
  h = b.Op("Mul", {h, b.Op("Sigmoid", {h})});
  h = b.Op("MaxPool", {h}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
  h = b.Op("Flatten", {b.Op("GlobalAveragePool", {h})});
  graph->AddOutput(b.Op("Gemm", {h, b.Constant(Random({10, 24}, 11)), b.Constant(Random({10}, 12))},
                        {{"transB", int64_t{1}}}),
                   "y");
  return graph;
}

// Layers that write more for a few samples than caches hold.
std::unique_ptr<ir::Graph> WidePictures() {
  using Ints = std::vector<int64_t>;
  auto graph = std::make_unique<ir::Graph>("pictures");
  ir::Builder b(*graph, Registry());
  ir::Value* x =
      graph->AddInput("x", ir::Type::Tensor(DType::kF32, {ir::Dimension("batch"), 3, 95, 97}));
  ir::Value* h = b.Op("Conv", {x, b.Constant(Random({17, 3, 3, 3}, 1, 0.3F))},
                      {{"strides", Ints{1, 1}}, {"pads", Ints{1, 1, 1, 1}}});
  h = b.Op("Relu", {h});
  h = b.Op("Conv", {h, b.Constant(Random({17, 1, 3, 3}, 2, 0.3F))}, {{"group", int64_t{17}}});
  h = b.Op("Flatten", {b.Op("GlobalAveragePool", {b.Op("Relu", {h})})});
  graph->AddOutput(b.Op("Gemm", {h, b.Constant(Random({17, 5}, 3)), b.Constant(Random({5}, 4))}),
                   "y");
  return graph;
}

// A block of a transformer as exporters write it.
std::unique_ptr<ir::Graph> Encoder() {
  auto graph = std::make_unique<ir::Graph>("encoder");
  ir::Builder b(*graph, Registry());
  ir::Value* x = graph->AddInput(
      "x", ir::Type::Tensor(DType::kF32, {ir::Dimension("batch"), ir::Dimension("length"), 32}));
  ir::Value* mask = graph->AddInput(
      "mask",
      ir::Type::Tensor(DType::kF32, {ir::Dimension("batch"), 1, 1, ir::Dimension("length")}));
  const auto heads = [&](uint64_t seed) {
    ir::Value* h = b.Add(b.Op("MatMul", {x, b.Constant(Random({32, 32}, seed, 0.3F))}),
                         b.Constant(Random({32}, seed + 1)));
    h = b.Op("Reshape", {h, b.Ints({0, 0, 4, 8})});
    return b.Op("Transpose", {h}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  };
  ir::Value* q = b.MulScalar(heads(1), 0.6);
  ir::Value* k =
      b.Op("Transpose", {b.MulScalar(heads(3), 0.6)}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  ir::Value* scores = b.Add(b.Op("MatMul", {q, k}), mask);
  ir::Value* h = b.Op("MatMul", {b.Op("Softmax", {scores}), heads(5)});
  h = b.Op("Transpose", {h}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  h = b.Add(b.Op("Reshape", {h, b.Ints({0, 0, 32})}), x);
  ir::Value* mean = b.Op("ReduceMean", {h, b.Ints({-1})});
  ir::Value* d = b.Sub(h, mean);
  ir::Value* deviation =
      b.Op("Sqrt", {b.Add(b.Op("ReduceMean", {b.Mul(d, d), b.Ints({-1})}), b.ScalarLike(d, 1e-5))});
  h = b.Add(b.Mul(b.Div(d, deviation), b.Constant(Random({32}, 7))), b.Constant(Random({32}, 8)));
  h = b.Op("MatMul", {h, b.Constant(Random({32, 64}, 9, 0.3F))});
  ir::Value* gate =
      b.Add(b.Op("Erf", {b.Div(h, b.ScalarLike(h, std::sqrt(2.0)))}), b.ScalarLike(h, 1));
  h = b.MulScalar(b.Mul(h, gate), 0.5);
  graph->AddOutput(h, "y");
  return graph;
}

void ExpectLikeInterpreter(const Executor& executor, const ir::Graph& graph,
                           const std::vector<Tensor>& inputs, double tolerance = 2e-5) {
  const std::vector<Tensor> expected = ops::InterpretInOrder(graph, inputs);
  const std::vector<Tensor> got = executor.Run(inputs);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LT(LargestDifference(got[i], expected[i]), tolerance) << "output " << i;
  }
}

std::vector<std::string> KernelsOf(const Executor& executor, const std::vector<Tensor>& inputs) {
  std::vector<std::string> names;
  for (const KernelTime& time : executor.Profile(inputs, 1)) names.push_back(time.kernel.kernel);
  return names;
}

TEST(Executor, RunsAnMlpOfAnyBatch) {
  const auto graph = Mlp();
  const Executor executor(Mlp(), Registry(), {.threads = 2});
  for (const int64_t batch : {1, 2, 3, 7, 64, 1}) {
    ExpectLikeInterpreter(executor, *graph, {Random({batch, 50}, 20)});
  }
  EXPECT_THAT(KernelsOf(executor, {Random({1, 50}, 20)}),
              testing::ElementsAre("packed_matmul_f32", "packed_matmul_f32", testing::_));
}

TEST(Executor, RunsAConvolutionalNetworkWithFusedKernels) {
  const auto graph = Cnn();
  for (const int threads : {1, 3}) {
    const Executor executor(Cnn(), Registry(), {.threads = threads});
    for (const int64_t batch : {1, 5}) {
      ExpectLikeInterpreter(executor, *graph, {Random({batch, 3, 18, 17}, 21)}, 1e-4);
    }
    for (const std::string& kernel : KernelsOf(executor, {Random({1, 3, 18, 17}, 21)})) {
      EXPECT_THAT(kernel, testing::Not(HasSubstr("reference"))) << kernel;
      EXPECT_THAT(kernel, testing::Not(HasSubstr("elementwise"))) << kernel;
    }
  }
}

TEST(Executor, RunsATransformerBlockWithAttentionAndLayerNormalisation) {
  const auto graph = Encoder();
  const Executor executor(Encoder(), Registry(), {.threads = 2});
  for (const int64_t length : {1, 9, 70}) {
    std::vector<Tensor> inputs = {Random({2, length, 32}, 1), Random({2, 1, 1, length}, 2)};
    ExpectLikeInterpreter(executor, *graph, inputs, 1e-4);
  }
  const std::vector<Tensor> inputs = {Random({2, 9, 32}, 1), Random({2, 1, 1, 9}, 2)};
  EXPECT_THAT(KernelsOf(executor, inputs),
              testing::UnorderedElementsAre(
                  "packed_matmul_f32", "packed_matmul_f32", "packed_matmul_f32", "attention_f32",
                  HasSubstr("elementwise"), HasSubstr("layer_norm"), "packed_matmul_f32"));
}

TEST(Executor, TellsWhatItWants) {
  const Executor executor(Mlp(), Registry(), {.threads = 1});
  try {
    executor.Run(std::vector<Tensor>{Random({3, 49}, 1)});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    EXPECT_THAT(error.what(), HasSubstr("input 'x' is f32[3, 49], expected f32[batch, 50]"));
  }
}

TEST(Executor, KeepsAsManySmallPlansAsAServerHasBatchSizes) {
  for (const bool small : {true, false}) {
    int made = 0;
    const Executor executor(Mlp(), Registry(),
                            {.threads = 2,
                             .small_plans_bytes = small ? size_t{16} << 20 : 0,
                             .check = [&](std::span<const Tensor>) { ++made; }});
    for (int round = 0; round < 2; ++round) {
      for (int64_t batch = 1; batch <= 32; ++batch) {
        executor.Run(std::vector<Tensor>{Random({batch, 50}, 1)});
      }
    }
    EXPECT_EQ(made, small ? 32 : 64);
  }
}

TEST(Executor, RunsAloneToTheSameBits) {
  const Executor executor(Mlp(), Registry(), {.threads = 2});
  const std::vector<Tensor> inputs = {Random({64, 50}, 1)};
  const Tensor together = executor.Run(inputs)[0];
  const Tensor alone = executor.Run(inputs, true)[0];
  ASSERT_EQ(together.bytes(), alone.bytes());
  EXPECT_EQ(std::memcmp(together.raw(), alone.raw(), alone.bytes()), 0);
}

TEST(Executor, IsRunByManyThreadsAtOnce) {
  const auto graph = Cnn();
  const Executor executor(Cnn(), Registry(),
                          {.threads = 2, .most_plans = 2, .small_plans_bytes = 0});
  std::vector<Tensor> expected;
  for (int64_t batch = 1; batch <= 3; ++batch) {
    expected.push_back(
        ops::InterpretInOrder(*graph, std::vector<Tensor>{Random({batch, 3, 18, 17}, 1)})[0]);
  }
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 12; ++i) {
        const int64_t batch = (i + t) % 3 + 1;
        const std::vector<Tensor> inputs = {Random({batch, 3, 18, 17}, 1)};
        const Tensor y = executor.Run(inputs)[0];
        const Tensor& wanted = expected[static_cast<size_t>(batch - 1)];
        for (size_t j = 0; j < y.data<float>().size(); ++j) {
          if (!(std::abs(y.data<float>()[j] - wanted.data<float>()[j]) < 1e-4F)) ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Executor, ComesAndGoesInTheSameMemory) {
  if (INGOT_SANITIZED) GTEST_SKIP() << "a sanitizer keeps what is freed";
  const std::vector<Tensor> inputs = {Random({2, 3, 18, 17}, 1)};
  const auto cycle = [&] { Executor(Cnn(), Registry(), {.threads = 2}).Run(inputs); };
  for (int i = 0; i < 30; ++i) cycle();
  const uint64_t before = ResidentBytes();
  for (int i = 0; i < 60; ++i) cycle();
  EXPECT_LT(ResidentBytes(), before + (uint64_t{1} << 20));
}

TEST(Executor, RunsIntoMemoryThatIsGiven) {
  const Executor executor(Mlp(), Registry(), {.threads = 1});
  const std::vector<Tensor> inputs = {Random({3, 50}, 1)};
  std::vector<Tensor> outputs = {Tensor(DType::kF32, {3, 10})};
  const std::byte* place = outputs[0].raw();
  executor.Run(inputs, outputs);
  EXPECT_EQ(outputs[0].raw(), place);
  EXPECT_EQ(LargestDifference(outputs[0], executor.Run(inputs)[0]), 0);
  outputs[0] = Tensor(DType::kF32, {3, 9});
  EXPECT_THROW(executor.Run(inputs, outputs), Error);
}

TEST(Executor, RunsNodeByNodeWhatHasNoStaticShapes) {
  auto graph = std::make_unique<ir::Graph>("dynamic");
  ir::Builder b(*graph, Registry());
  ir::Value* x = graph->AddInput("x", ir::Type::Tensor(DType::kF32, {ir::Dimension("n"), 4}));
  ir::Value* shape = graph->AddInput("shape", ir::Type::Tensor(DType::kI64, Shape{2}));
  graph->AddOutput(b.Op("Relu", {b.Op("Reshape", {x, shape})}), "y");
  const auto copy = graph->Clone();
  const Executor executor(std::move(graph), Registry(), {.threads = 1});
  const std::vector<Tensor> inputs = {Random({6, 4}, 1), Tensor::Of<int64_t>({2}, {3, 8})};
  EXPECT_FALSE(executor.IsPlanned(inputs));
  ExpectLikeInterpreter(executor, *copy, inputs);
}

TEST(Executor, RunsALargeBatchInParts) {
  for (const int threads : {1, 3}) {
    const Executor executor(WidePictures(), Registry(), {.threads = threads});
    const std::vector<Tensor> batch = {Random({7, 3, 95, 97}, 1)};
    Tensor y(DType::kF32, {7, 5});
    const std::vector<Tensor> returned = executor.Run(batch);
    executor.Run(batch, {&y, 1});
    EXPECT_EQ(LargestDifference(returned[0], y), 0);
    const std::vector<Tensor> alone = executor.Run(batch, true);
    EXPECT_EQ(LargestDifference(alone[0], y), 0);
    const size_t bytes = batch[0].bytes() / 7;
    for (size_t i = 0; i < 7; ++i) {
      std::vector<Tensor> one = {Tensor(DType::kF32, {1, 3, 95, 97})};
      std::memcpy(one[0].raw(), batch[0].raw() + i * bytes, bytes);
      const std::vector<Tensor> expected = executor.Run(one);
      EXPECT_EQ(std::memcmp(expected[0].raw(), y.raw() + i * 20, 20), 0) << i;
      if (i == 0) {  // it is the part's memory that a batch takes
        EXPECT_EQ(executor.arena_bytes(batch),
                  executor.arena_bytes(one) * static_cast<size_t>(threads));
        EXPECT_EQ(executor.Profile(batch, 1)[0].kernel.flops,
                  7 * executor.Profile(one, 1)[0].kernel.flops);
      }
    }
  }
}

}  // namespace
}  // namespace ingot::infer
