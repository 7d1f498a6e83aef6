// StepEngine on small programs made by hand: the protocol, without a compiler or a backend.
#include "ingot/runtime/step_engine.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/runtime/step_program.h"

namespace ingot::runtime {
namespace {

constexpr int64_t kBatch = 21;
constexpr int kShards = 5;
constexpr int64_t kWidth = 40;
using Space = Operand::Space;

// part[j] = sum over the shard's rows of x[row] * w[j]; loss = sum of x.
class ShardKernel : public Kernel {
 public:
  explicit ShardKernel(int64_t rows) : rows_(rows) {}
  void Run(std::span<void* const> operands, std::byte* /*scratch*/) const override {
    const auto* x = static_cast<const float*>(operands[0]);
    const auto* w = static_cast<const float*>(operands[1]);
    auto* part = static_cast<float*>(operands[2]);
    auto* loss = static_cast<float*>(operands[3]);
    for (int64_t j = 0; j < kWidth; ++j) {
      part[j] = 0;
      for (int64_t r = 0; r < rows_; ++r) part[j] += x[r] * w[j];
    }
    *loss = 0;
    for (int64_t r = 0; r < rows_; ++r) *loss += x[r];
  }
  std::string name() const override { return "shard"; }

 private:
  int64_t rows_;
};

class SumKernel : public ReduceKernel {
 public:
  void Run(std::span<const std::span<const ShardValue>> inputs, int64_t begin, int64_t end,
           std::byte* out, std::byte* /*scratch*/) const override {
    auto* result = reinterpret_cast<float*>(out);
    for (int64_t i = begin; i < end; ++i) {
      float sum = 0;
      for (const ShardValue& value : inputs[0])
        sum += reinterpret_cast<const float*>(value.data)[i];
      *result++ = sum;
    }
  }
  std::string name() const override { return "sum"; }
};

// w' = w - rate * g; count' = count + 1.
class PlainUpdate : public UpdateKernel {
 public:
  bool Run(std::span<void* const> o, const double* derived, int64_t count) const override {
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) {
      const float g = static_cast<const float*>(o[1])[i];
      finite = finite && g - g == 0;
      static_cast<float*>(o[4])[i] =
          static_cast<const float*>(o[0])[i] - static_cast<float>(derived[0]) * g;
      static_cast<float*>(o[5])[i] = static_cast<const float*>(o[3])[i] + 1;
    }
    return finite;
  }
  size_t derived_count() const override { return 1; }
  void Derive(std::span<void* const> o, double* derived) const override {
    derived[0] = *static_cast<const float*>(o[2]);
  }
  std::string name() const override { return "update"; }
};

constexpr uint64_t kSlotBytes = 320;
// So large that all steps share the slots.
constexpr uint64_t kLargeSlotBytes = uint64_t{8} << 20;

std::shared_ptr<StepProgram> MakeProgram(uint64_t slot_bytes = kSlotBytes) {
  auto program = std::make_shared<StepProgram>();
  program->batch = kBatch;
  for (int s = 0; s <= kShards; ++s) program->shard_begin.push_back(s * kBatch / kShards);
  program->states = {{"w", DType::kF32, Shape{kWidth}, true, 0},
                     {"count", DType::kF32, Shape{kWidth}, false, 0}};
  program->scalars = {{"learning_rate", DType::kF32, 0, 1}};
  program->scalar_bytes = 64;
  ShardPart part;
  part.slot_row_bytes = {0, 0, 4};
  for (const int64_t rows : {4, 5}) {
    ShardRoutine routine;
    routine.rows = rows;
    routine.slot_offsets = {0, 192, 256};
    routine.data_inputs = {{Space::kSlot, 256}};
    Instruction instruction;
    instruction.kernel = std::make_shared<ShardKernel>(rows);
    instruction.operands = {
        {Space::kSlot, 256}, {Space::kState, 0}, {Space::kSlot, 0}, {Space::kSlot, 192}};
    routine.instructions.push_back(std::move(instruction));
    part.routines.push_back(std::move(routine));
  }
  for (int s = 0; s < kShards; ++s) {
    program->routine_of_shard.push_back(program->shard_rows(s) == 4 ? 0 : 1);
  }
  part.slot_bytes = slot_bytes;
  part.finite_checks = {{1, DType::kF32}};
  program->parts.push_back(std::move(part));
  program->arena_bytes = 64;
  program->tile_bytes = kWidth * 4;
  program->derived_count = 1;
  program->updates = true;
  ReduceUnit gradient;
  gradient.kernel = std::make_shared<SumKernel>();
  gradient.slot_values = {{0, 0}};
  gradient.rows = kWidth;
  UpdateInstruction update;
  update.kernel = std::make_shared<PlainUpdate>();
  update.operands = {{Space::kState, 0}, {Space::kTile, 0},  {Space::kScalar, 0},
                     {Space::kState, 1}, {Space::kState, 0}, {Space::kState, 1}};
  update.advances = {1, 0, 0, 1, 1, 1};
  update.is_output = {0, 0, 0, 0, 1, 1};
  gradient.updates.push_back(std::move(update));
  program->units.push_back(std::move(gradient));
  ReduceUnit loss;
  loss.kernel = std::make_shared<SumKernel>();
  loss.slot_values = {{0, 1}};
  loss.sum = 0;
  program->units.push_back(std::move(loss));
  program->stages.resize(2);
  for (int64_t s = 0; s < kShards; ++s) {
    program->stages[0].tasks.push_back({Task::Kind::kShard, 0, s, 0});
  }
  program->stages[1].updates = true;
  for (int64_t begin = 0; begin < kWidth; begin += 8) {
    program->stages[1].tasks.push_back({Task::Kind::kTile, 0, begin, begin + 8});
  }
  program->stages[1].tasks.push_back({Task::Kind::kTile, 1, 0, 1});
  program->sums = {"loss_sum"};
  program->rows = {{"x", {0, 2}, DType::kF32, Shape{kBatch}}};
  program->data_inputs = {"x"};
  return program;
}

class CountingSource : public BatchSource {
 public:
  void Fill(int64_t step, int64_t first, int64_t count,
            std::span<void* const> inputs) const override {
    auto* x = static_cast<float*>(inputs[0]);
    for (int64_t i = 0; i < count; ++i) x[i] = 0.001f * static_cast<float>(step % 7 + first + i);
    if (before_return) before_return(step, first);
    if (bad_step == step) x[0] = std::numeric_limits<float>::quiet_NaN();
  }
  std::function<void(int64_t step, int64_t first)> before_return;
  int64_t bad_step = -1;
};

StepRequest Request(const CountingSource& source, int64_t count) {
  StepRequest request;
  request.count = count;
  request.source = &source;
  request.scalars = [](int64_t, std::span<float> scalars) { scalars[0] = 0.01f; };
  return request;
}

std::vector<float> Weights(const StepEngine& engine) {
  const Tensor w = engine.ReadState("w");
  return {w.data<float>().begin(), w.data<float>().end()};
}

void Start(StepEngine& engine) {
  Tensor w(DType::kF32, Shape{kWidth});
  for (int64_t i = 0; i < kWidth; ++i)
    w.data<float>()[static_cast<size_t>(i)] = 1.0f + static_cast<float>(i) / 8;
  engine.WriteState("w", w);
}

std::vector<float> WeightsAfter(int threads, int64_t steps, const CountingSource& source,
                                uint64_t slot_bytes = kSlotBytes) {
  StepEngine engine({MakeProgram(slot_bytes)}, threads);
  Start(engine);
  EXPECT_EQ(engine.Run(Request(source, steps)).next_step, steps);
  const Tensor count = engine.ReadState("count");
  for (const float c : count.data<float>()) EXPECT_EQ(c, static_cast<float>(steps));
  return Weights(engine);
}

TEST(StepEngine, ComputesWhatOneThreadWould) {
  const CountingSource source;
  std::vector<float> w(kWidth);
  for (size_t j = 0; j < w.size(); ++j) w[j] = 1.0f + static_cast<float>(j) / 8;
  for (int64_t step = 0; step < 3; ++step) {
    double x = 0;
    for (int64_t i = 0; i < kBatch; ++i) x += 0.001 * static_cast<double>(step % 7 + i);
    for (float& value : w) value = static_cast<float>(value - 0.01 * x * value);
  }
  const std::vector<float> got = WeightsAfter(1, 3, source);
  for (size_t j = 0; j < w.size(); ++j) EXPECT_NEAR(got[j], w[j], 1e-5);
}

TEST(StepEngine, ThreadsDoNotChangeABit) {
  const CountingSource source;
  const std::vector<float> one = WeightsAfter(1, 300, source);
  for (const int threads : {2, 3, 4, 7}) {
    EXPECT_EQ(WeightsAfter(threads, 300, source), one);
    EXPECT_EQ(WeightsAfter(threads, 300, source, kLargeSlotBytes), one);
  }
}

TEST(StepEngine, TakesOverWhatAStalledThreadHolds) {
  CountingSource plain;
  const std::vector<float> expected = WeightsAfter(1, 40, plain);
  // The first thread that fills shard 0 of step 3 stays away until step 20 has been done.
  std::atomic<int> stalled{0};
  std::atomic<int64_t> reached{0};
  CountingSource source;
  source.before_return = [&](int64_t step, int64_t first) {
    if (step == 3 && first == 0 && stalled.fetch_add(1) == 0) {
      while (reached.load() < 20) std::this_thread::yield();
    }
  };
  StepEngine engine({MakeProgram()}, 2);
  Start(engine);
  StepRequest request = Request(source, 40);
  request.on_sums = [&](int64_t step, std::span<const float>) { reached = step; };
  EXPECT_EQ(engine.Run(request).next_step, 40);
  EXPECT_EQ(Weights(engine), expected);
  EXPECT_GE(engine.counters().takeovers, 1);
  EXPECT_GE(engine.counters().discarded, 1);
}

TEST(StepEngine, LargeSlotsAreThereOnce) {
  const StepEngine small({MakeProgram()}, 2);
  const StepEngine large({MakeProgram(kLargeSlotBytes)}, 2);
  // A slot for each shard and a spare one.
  EXPECT_LT(large.memory_bytes() - small.memory_bytes(),
            (kShards + 1) * kLargeSlotBytes + (8 << 20));
}

TEST(StepEngine, AStepWaitsForWhoStillWritesToSlotsThatItShares) {
  const std::vector<float> expected = WeightsAfter(1, 40, CountingSource());
  std::atomic<int> stalled{0};
  std::atomic<int64_t> reached{-1};
  std::atomic<int64_t> begun{-1};
  std::atomic<int64_t> begun_meanwhile{-1};
  CountingSource source;
  source.before_return = [&](int64_t step, int64_t first) {
    begun = step;
    if (step == 3 && first == 0 && stalled.fetch_add(1) == 0) {
      while (reached.load() < 3) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      begun_meanwhile = begun.load();
    }
  };
  StepEngine engine({MakeProgram(kLargeSlotBytes)}, 2);
  Start(engine);
  StepRequest request = Request(source, 40);
  request.on_sums = [&](int64_t step, std::span<const float>) { reached = step; };
  EXPECT_EQ(engine.Run(request).next_step, 40);
  EXPECT_EQ(begun_meanwhile.load(), 3);
  EXPECT_EQ(Weights(engine), expected);
  EXPECT_GE(engine.counters().takeovers, 1);
}

TEST(StepEngine, AViewOfAStateOutlivesTheEngine) {
  Tensor view;
  std::vector<float> weights;
  {
    const CountingSource source;
    StepEngine engine({MakeProgram()}, 2);
    Start(engine);
    engine.Run(Request(source, 5));
    view = engine.ViewState("w");
    weights = Weights(engine);
  }
  EXPECT_EQ(std::vector<float>(view.data<float>().begin(), view.data<float>().end()), weights);
}

TEST(StepEngine, SumsComeInOrderAndRowsAreTheBatch) {
  const CountingSource source;
  StepEngine engine({MakeProgram()}, 3);
  Start(engine);
  StepRequest request = Request(source, 25);
  std::vector<int64_t> order;
  request.on_sums = [&](int64_t step, std::span<const float> sums) {
    order.push_back(step);
    double expected = 0;
    for (int64_t i = 0; i < kBatch; ++i) expected += 0.001 * static_cast<double>(step % 7 + i);
    EXPECT_NEAR(sums[0], expected, 1e-6);
  };
  int64_t rows_seen = 0;
  request.on_rows = [&](int64_t step, std::span<const TensorView> rows) {
    ++rows_seen;
    for (int64_t i = 0; i < kBatch; ++i) {
      EXPECT_EQ(rows[0].as<float>()[i], 0.001f * static_cast<float>(step % 7 + i));
    }
  };
  engine.Run(request);
  ASSERT_EQ(order.size(), 25u);
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], static_cast<int64_t>(i));
  EXPECT_EQ(rows_seen, 25);
}

TEST(StepEngine, StopsBeforeTheUpdateOfAStepThatIsNotFinite) {
  CountingSource source;
  const std::vector<float> before = WeightsAfter(1, 5, source);
  source.bad_step = 5;
  for (const int threads : {1, 2, 4}) {
    StepEngine engine({MakeProgram()}, threads);
    Start(engine);
    const StepResult result = engine.Run(Request(source, 10));
    EXPECT_TRUE(result.not_finite);
    EXPECT_EQ(result.next_step, 5);
    EXPECT_EQ(Weights(engine), before);
  }
}

TEST(StepEngine, StopsWhenAskedAndGoesOn) {
  const CountingSource source;
  const std::vector<float> expected = WeightsAfter(1, 30, source);
  StepEngine engine({MakeProgram()}, 2);
  Start(engine);
  StepRequest request = Request(source, 30);
  int asked = 0;
  request.should_stop = [&] { return ++asked == 11; };
  const StepResult first = engine.Run(request);
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.next_step, 11);
  request.should_stop = nullptr;
  request.first_step = first.next_step;
  request.count = 30 - first.next_step;
  EXPECT_EQ(engine.Run(request).next_step, 30);
  EXPECT_EQ(Weights(engine), expected);
}

TEST(StepEngine, AnErrorOfTheSourceEndsTheRunAndTheEngineStaysUsable) {
  CountingSource source;
  source.before_return = [](int64_t step, int64_t first) {
    if (step == 4 && first > 0) throw Error(ErrorCode::kCorrupt, "record 12 of images.idx");
  };
  for (const int threads : {1, 3}) {
    StepEngine engine({MakeProgram()}, threads);
    Start(engine);
    try {
      engine.Run(Request(source, 10));
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.message(), "record 12 of images.idx");
    }
    const CountingSource good;
    EXPECT_EQ(engine.Run(Request(good, 10)).next_step, 10);
  }
}

TEST(StepEngine, RefusesStatesThatDoNotFit) {
  StepEngine engine({MakeProgram()}, 1);
  try {
    engine.WriteState("w", Tensor(DType::kF32, Shape{3}));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "'w' is f32[40], given was f32[3]");
  }
  EXPECT_THROW(engine.ReadState("v"), Error);
  EXPECT_THROW(StepEngine({MakeProgram()}, 0), Error);
}

TEST(StepEngine, IdleThreadsSleep) {
  CountingSource source;
  // One long shard: some of the other threads attempt it again, up to the spare slots; the rest
  // have nothing to do for 30 ms, far longer than they spin.
  source.before_return = [](int64_t, int64_t first) {
    if (first == 0) std::this_thread::sleep_for(std::chrono::milliseconds(30));
  };
  StepEngine engine({MakeProgram()}, 8);
  Start(engine);
  engine.Run(Request(source, 5));
  EXPECT_GE(engine.counters().sleeps, 5);
}

}  // namespace
}  // namespace ingot::runtime
