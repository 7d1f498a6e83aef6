// No heap allocation in a steady state: every operator new of this program is counted while a job
// like MNIST's trains.
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingot/base/sanitizer.h"
#include "ingot/data/batches.h"
#include "ingot/data/idx_source.h"
#include "ingot/train/step_program_test_util.h"

namespace {

// By any thread, while counting; lock-free, so that the operators themselves may touch them.
std::atomic<bool> g_counting = false;
std::atomic<int64_t> g_allocations = 0;

#if !INGOT_SANITIZED
void* Allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (g_counting.load(std::memory_order_relaxed)) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
  }
  if (bytes == 0) bytes = 1;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes);
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void* AllocateOrThrow(std::size_t bytes, std::size_t alignment) {
  void* memory = Allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
#endif

}  // namespace

#if !INGOT_SANITIZED
void* operator new(std::size_t n) {
  return AllocateOrThrow(n, 1);
}
void* operator new[](std::size_t n) {
  return AllocateOrThrow(n, 1);
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return Allocate(n, 1);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
  return Allocate(n, 1);
}
void* operator new(std::size_t n, std::align_val_t a) {
  return AllocateOrThrow(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return AllocateOrThrow(n, static_cast<std::size_t>(a));
}
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return Allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return Allocate(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(p);
}
#endif

namespace ingot::train {
namespace {

// The samples as `ingot train` reads MNIST: shuffled in every epoch, converted on the way.
std::unique_ptr<data::Batches> MnistBatches(bool one_hot) {
  const data::IdxFiles files = data::FindIdxFiles(INGOT_SOURCE_DIR "/tests/data/mnist", "train");
  auto source = std::make_shared<data::IdxSource>(files.images, files.labels, 10);
  data::Conversion x(source->fields()[0]);
  x.Normalise(255, {}, {});
  x.Cast(DType::kF32);
  data::Conversion y(source->fields()[1]);
  if (one_hot) {
    y.OneHot(10);
  } else {
    y.Cast(DType::kI64);
  }
  data::BatchOptions options;
  options.batch = 128;
  options.drop_last = true;
  return std::make_unique<data::Batches>(source, data::Selection::All(source->size()),
                                         std::vector<data::Conversion>{x, y}, options);
}

struct AllocationCase {
  const char* name;
  const char* layers;
  const char* optimizer;
  int threads;
  const char* loss = "softmax_cross_entropy";
};

class Allocations : public testing::TestWithParam<AllocationCase> {};

INSTANTIATE_TEST_SUITE_P(
    Jobs, Allocations,
    testing::Values(
        AllocationCase{"adam_1", "[flatten, {dense: 64}, relu, {dense: 10}]", "adam", 1},
        AllocationCase{"adam_2", "[flatten, {dense: 64}, relu, {dense: 10}]", "adam", 2},
        AllocationCase{"adam_4", "[flatten, {dense: 64}, relu, {dense: 10}]", "adam", 4},
        AllocationCase{"tanh", "[flatten, {dense: 32}, tanh, {dense: 10}]", "sgd: {momentum: 0.9}",
                       2},
        AllocationCase{"sigmoid", "[flatten, {dense: 32}, sigmoid, {dense: 10}]", "sgd", 2},
        AllocationCase{"leaky_relu", "[flatten, {dense: 32}, leaky_relu, {dense: 10}]", "adamw", 2},
        AllocationCase{"elu", "[flatten, {dense: 32}, elu, {dense: 10}]", "adamw", 2},
        AllocationCase{"gelu", "[flatten, {dense: 32}, gelu, {dense: 10}]", "adamw", 2},
        AllocationCase{"dropout", "[flatten, {dense: 32}, relu, {dropout: 0.2}, {dense: 10}]",
                       "adamw", 2},
        AllocationCase{"convolutions",
                       "[{reshape: [1, 28, 28]}, {conv: {filters: 4, kernel: 3, stride: 4}}, "
                       "batch_norm, relu6, {conv: {filters: 4, kernel: 3, groups: 2}}, batch_norm, "
                       "relu, {max_pool: 2}, global_average_pool, flatten, {dense: 10}]",
                       "adam", 2},
        AllocationCase{"lines",
                       "[{conv: {filters: 8, kernel: 3, padding: 1}}, batch_norm, relu, "
                       "{max_pool: 2}, {conv: {filters: 8, kernel: 3, padding: 1}}, batch_norm, "
                       "relu, flatten, {dense: 10}]",
                       "adam", 2},
        AllocationCase{"transformer",
                       "[{reshape: [1, 28, 28]}, {patchify: 14}, {dense: 8}, position_embedding, "
                       "{transformer_block: {heads: 2}}, layer_norm, flatten, {dense: 10}]",
                       "adamw", 2},
        AllocationCase{"lstm", "[{lstm: 8}, {dense: 10}]", "rmsprop", 2},
        AllocationCase{"gru", "[{gru: 8}, {dense: 10}]", "lion", 2},
        AllocationCase{"mse", "[flatten, {dense: 32}, relu, {dense: 10}]", "adam", 2, "mse"},
        AllocationCase{"mae", "[flatten, {dense: 32}, relu, {dense: 10}]", "adam", 2, "mae"},
        AllocationCase{"huber", "[flatten, {dense: 32}, relu, {dense: 10}]", "adam", 2, "huber"},
        AllocationCase{"binary", "[flatten, {dense: 32}, relu, {dense: 10}]", "adam", 2,
                       "binary_cross_entropy"}),
    [](const auto& info) { return info.param.name; });

TEST_P(Allocations, ThereAreNoneInASteadyState) {
  if (INGOT_SANITIZED) GTEST_SKIP() << "a sanitizer owns operator new";
  const bool classes = std::string(GetParam().loss) == "softmax_cross_entropy";
  const StepTestNetwork network = {"mnist",         GetParam().layers,
                                   GetParam().loss, classes ? "[accuracy]" : "[mae]",
                                   Shape{28, 28},   classes ? Shape{} : Shape{10},
                                   classes ? 10 : 0};
  const auto batches = MnistBatches(!classes);
  const StepGraph step = BuildStepGraph(
      BuildStepTestNetwork(network, DType::kF32),
      nn::ReadOptimizer(ParseConfig(GetParam().optimizer, "optimizer")), 128, 8, StepTestOps());
  const auto program = compiler::CompileStep(*step.graph, StepTestOps());
  runtime::StepEngine engine({program}, GetParam().threads);
  for (const auto& [name, tensor] : InitialStates(step)) engine.WriteState(name, tensor);

  // The test's own callbacks allocate nothing either.
  constexpr int64_t kWarm = 50;
  constexpr int64_t kSteps = 200;
  int64_t counted = -1;
  float last_loss = 0;
  runtime::StepRequest request;
  request.count = kWarm + kSteps + 1;
  request.source = batches.get();
  request.seed = kStepTestSeed;
  request.scalars = [](int64_t, std::span<float> scalars) { scalars[0] = 0.001f; };
  request.on_sums = [&](int64_t s, std::span<const float> sums) {
    last_loss = sums[0];
    if (s + 1 == kWarm) {
      g_allocations.store(0);
      g_counting.store(true);
    } else if (s + 1 == kWarm + kSteps) {
      g_counting.store(false);
      counted = g_allocations.load();
    }
  };
  EXPECT_EQ(engine.Run(request).next_step, kWarm + kSteps + 1);
  EXPECT_EQ(counted, 0) << "in " << kSteps << " steps";
  EXPECT_GT(last_loss, 0);
  // The steps went over several epochs, each with an order of its own.
  EXPECT_GT(batches->EpochOf(kWarm + kSteps), 3);

  // Neither does it cost anything to go on after a pause.
  request.first_step = kWarm + kSteps + 1;
  request.count = 10;
  g_allocations.store(0);
  g_counting.store(true);
  engine.Run(request);
  g_counting.store(false);
  EXPECT_EQ(g_allocations.load(), 0) << "in a second run";
}

// What the other test rests on.
TEST(AllocationCounter, SeesThem) {
  if (INGOT_SANITIZED) GTEST_SKIP() << "a sanitizer owns operator new";
  g_allocations.store(0);
  g_counting.store(true);
  auto values = std::make_unique<std::vector<double>>(100);
  struct alignas(128) Line {
    double value = 1;
  };
  auto line = std::make_unique<Line>();
  g_counting.store(false);
  EXPECT_EQ(g_allocations.load(), 3);
  EXPECT_EQ((*values)[7] + line->value, 1);
}

}  // namespace
}  // namespace ingot::train
