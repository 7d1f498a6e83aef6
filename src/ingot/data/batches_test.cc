// Batches: epochs, short last batches, order, idempotent filling.
#include "ingot/data/batches.h"

#include <atomic>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/data/prefetch.h"

namespace ingot::data {
namespace {

using testing::HasSubstr;

// Sample i is x = [i, -i], y = i % 3.
std::shared_ptr<MemorySource> Numbers(int64_t n) {
  Tensor x(DType::kF32, Shape{n, 2});
  Tensor y(DType::kU8, Shape{n});
  for (int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<size_t>(i);
    x.data<float>()[2 * at] = static_cast<float>(i);
    x.data<float>()[2 * at + 1] = static_cast<float>(-i);
    y.data<uint8_t>()[at] = static_cast<uint8_t>(i % 3);
  }
  return std::make_shared<MemorySource>(std::vector<std::string>{"x", "y"},
                                        std::vector<Tensor>{x, y}, "numbers");
}

// The same, but each record has to be copied out, as from a compressed file.
class CopyingSource : public Source {
 public:
  explicit CopyingSource(int64_t n) : memory_(Numbers(n)) {}
  int64_t size() const override { return memory_->size(); }
  const std::vector<Field>& fields() const override { return memory_->fields(); }
  void Read(int64_t record, int field, void* out) const override {
    if (record == broken) throw Error(ErrorCode::kCorrupt, "bad bytes");
    memory_->Read(record, field, out);
  }
  std::string Where(int64_t record) const override { return memory_->Where(record); }

  std::atomic<int64_t> broken = -1;

 private:
  std::shared_ptr<MemorySource> memory_;
};

std::vector<Conversion> Conversions(const Source& source) {
  std::vector<Conversion> conversions;
  for (const Field& field : source.fields()) conversions.emplace_back(field);
  conversions[1].Cast(DType::kI64);
  return conversions;
}

std::shared_ptr<Batches> Make(std::shared_ptr<const Source> source, BatchOptions options) {
  const Selection all = Selection::All(source->size());
  std::vector<Conversion> conversions = Conversions(*source);
  return std::make_shared<Batches>(std::move(source), all, std::move(conversions), options);
}

struct Batch {
  std::vector<float> x;
  std::vector<int64_t> y;
  bool operator==(const Batch&) const = default;
};

// The batch of a step in pieces of `piece` samples, as shards would ask for it.
Batch Get(const runtime::BatchSource& source, const Batches& batches, int64_t step,
          int64_t piece = 1000) {
  const int64_t size = batches.BatchOf(step);
  Batch batch{std::vector<float>(static_cast<size_t>(2 * size)),
              std::vector<int64_t>(static_cast<size_t>(size))};
  for (int64_t first = 0; first < size; first += piece) {
    const std::vector<void*> inputs = {&batch.x[static_cast<size_t>(2 * first)],
                                       &batch.y[static_cast<size_t>(first)]};
    source.Fill(step, first, std::min(piece, size - first), inputs);
  }
  return batch;
}

template <typename F>
std::string Message(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.message();
  }
  return "nothing was thrown";
}

TEST(BatchesTest, CountsStepsAndEpochs) {
  const auto batches = Make(Numbers(10), {.batch = 4, .shuffle = false});
  EXPECT_EQ(batches->StepsPerEpoch(), 3);
  EXPECT_EQ(batches->BatchOf(0), 4);
  EXPECT_EQ(batches->BatchOf(2), 2);
  EXPECT_EQ(batches->BatchOf(5), 2);
  EXPECT_EQ(batches->LastBatch(), 2);
  EXPECT_EQ(batches->EpochOf(3), 1);
  EXPECT_EQ(batches->SamplesBefore(7), 24);
  EXPECT_EQ(batches->SamplesOf(5), (std::vector<int64_t>{8, 9}));
  const auto dropped = Make(Numbers(10), {.batch = 4, .shuffle = false, .drop_last = true});
  EXPECT_EQ(dropped->StepsPerEpoch(), 2);
  EXPECT_EQ(dropped->LastBatch(), 4);
  EXPECT_EQ(dropped->SamplesBefore(3), 12);
  EXPECT_EQ(dropped->SamplesOf(2), (std::vector<int64_t>{0, 1, 2, 3}));
  const auto wrapped = Make(Numbers(10), {.batch = 4, .shuffle = false, .wrap = true});
  EXPECT_EQ(wrapped->SamplesOf(2), (std::vector<int64_t>{8, 9, 0, 1}));
  EXPECT_EQ(wrapped->SamplesOf(3), (std::vector<int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(wrapped->SamplesBefore(7), 28);
}

TEST(BatchesTest, EveryEpochHasEverySampleOnceInAnotherOrder) {
  const auto batches = Make(Numbers(101), {.batch = 8, .seed = 5});
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t s = 0; s < batches->StepsPerEpoch(); ++s) {
      const int64_t step = epoch * batches->StepsPerEpoch() + s;
      for (const int64_t record : batches->SamplesOf(step)) order.push_back(record);
    }
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 101u);
    orders.push_back(order);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
}

TEST(BatchesTest, FillsWhatSamplesOfSays) {
  for (const bool contiguous : {true, false}) {
    std::shared_ptr<Source> source = Numbers(101);
    if (!contiguous) source = std::make_shared<CopyingSource>(101);
    const auto batches = Make(source, {.batch = 16, .seed = 2});
    EXPECT_EQ(batches->cheap(), contiguous);
    for (const int64_t step : {0, 6, 7, 100}) {
      const std::vector<int64_t> samples = batches->SamplesOf(step);
      const Batch whole = Get(*batches, *batches, step);
      for (size_t i = 0; i < samples.size(); ++i) {
        EXPECT_EQ(whole.x[2 * i], static_cast<float>(samples[i]));
        EXPECT_EQ(whole.x[2 * i + 1], static_cast<float>(-samples[i]));
        EXPECT_EQ(whole.y[i], samples[i] % 3);
      }
      for (const int64_t piece : {1, 3, 5}) EXPECT_EQ(Get(*batches, *batches, step, piece), whole);
    }
  }
}

TEST(BatchesTest, UsesTheSelection) {
  const auto source = Numbers(100);
  const Selection validation = Selection::All(100).Split(0.1, 3).second;
  const Batches batches(source, validation, Conversions(*source), {.batch = 5});
  EXPECT_EQ(batches.StepsPerEpoch(), 2);
  std::set<int64_t> wanted;
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 10; ++i) wanted.insert(validation[i]);
  for (const int64_t step : {0, 1}) {
    for (const int64_t record : batches.SamplesOf(step)) seen.insert(record);
  }
  EXPECT_EQ(seen, wanted);
}

TEST(BatchesTest, SaysWhatIsWrong) {
  EXPECT_EQ(Message([] { Make(Numbers(10), {.batch = 11}); }),
            "a batch of 11 samples is larger than the data, which have 10");
  EXPECT_EQ(Message([] { Make(Numbers(10), {.batch = 0}); }), "a batch of 0 samples");
  EXPECT_EQ(Message([] { Make(Numbers(10), {.batch = 5, .wrap = true}); }),
            "batches that run on into the next pass need the order of the file");
  const auto source = std::make_shared<CopyingSource>(10);
  source->broken = 7;
  const auto batches = Make(source, {.batch = 10, .shuffle = false});
  EXPECT_EQ(Message([&] { Get(*batches, *batches, 0); }), "numbers, sample 7: bad bytes");
  std::vector<Conversion> conversions = Conversions(*source);
  const MemorySource other({"x"}, {Tensor(DType::kF32, Shape{10, 3})});
  EXPECT_EQ(Message([&] {
              Batches(std::make_shared<MemorySource>(other), Selection::All(10), {conversions[0]},
                      {.batch = 2});
            }),
            "the data have x f32[3], expected x f32[2]");
}

TEST(PrefetcherTest, GivesTheSameBatchesAsWithoutIt) {
  const auto batches = Make(std::make_shared<CopyingSource>(101), {.batch = 16, .seed = 2});
  for (const int threads : {1, 3}) {
    const Prefetcher prefetcher(batches, 4, threads);
    for (int64_t step = 20; step < 60; ++step) {
      EXPECT_EQ(Get(prefetcher, *batches, step, 5), Get(*batches, *batches, step)) << step;
    }
    // Backwards, far ahead, and once more from the beginning.
    for (const int64_t step : {3, 58, 1000, 1001, 999, 0, 1, 2, 3, 4, 5}) {
      EXPECT_EQ(Get(prefetcher, *batches, step, 5), Get(*batches, *batches, step)) << step;
    }
    EXPECT_GT(prefetcher.assembled(), 0);
  }
}

TEST(PrefetcherTest, WorksAheadAndNoFurtherThanItsDepth) {
  const auto batches = Make(std::make_shared<CopyingSource>(64), {.batch = 8, .seed = 2});
  const Prefetcher prefetcher(batches, 3, 2);
  EXPECT_EQ(prefetcher.assembled(), 0);
  Get(prefetcher, *batches, 0);
  while (prefetcher.assembled() < 3) std::this_thread::yield();
  Get(prefetcher, *batches, 0);
  EXPECT_EQ(prefetcher.assembled(), 3);
  Get(prefetcher, *batches, 2);  // the window is [1, 4) now
  while (prefetcher.assembled() < 4) std::this_thread::yield();
  EXPECT_EQ(prefetcher.assembled(), 4);
}

TEST(PrefetcherTest, ErrorsBelongToTheirStep) {
  const auto source = std::make_shared<CopyingSource>(64);
  source->broken = 20;
  const auto batches = Make(source, {.batch = 8, .shuffle = false});
  const Prefetcher prefetcher(batches, 4, 2);
  EXPECT_EQ(Get(prefetcher, *batches, 0), Get(*batches, *batches, 0));
  EXPECT_EQ(Get(prefetcher, *batches, 1), Get(*batches, *batches, 1));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Message([&] { Get(prefetcher, *batches, 2); }), "numbers, sample 20: bad bytes");
  }
  EXPECT_EQ(Get(prefetcher, *batches, 3), Get(*batches, *batches, 3));
}

TEST(PrefetcherTest, ServesManyThreads) {
  const auto batches = Make(std::make_shared<CopyingSource>(256), {.batch = 32, .seed = 9});
  const Prefetcher prefetcher(batches, 3, 2);
  std::atomic<int64_t> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      // Some of them lag behind, as descheduled workers do.
      for (int64_t step = 0; step < 200; ++step) {
        const int64_t mine = t == 3 ? step / 2 : step;
        if (!(Get(prefetcher, *batches, mine, 7) == Get(*batches, *batches, mine))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace ingot::data
