// Augmentations: what they do to a picture, that they depend on seed, epoch and record alone, and
// what is said of those that do not fit.
#include <cmath>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/test_error.h"
#include "ingot/data/augment/augmenter.h"
#include "ingot/data/data_options.h"
#include "ingot/data/prefetch.h"

namespace ingot::data {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

using Bytes = std::vector<uint8_t>;

const Field kPicture = {.name = "x", .dtype = DType::kU8, .shape = Shape{3, 8, 6}};

Bytes Counting(size_t n = 3 * 8 * 6) {
  Bytes bytes(n);
  std::iota(bytes.begin(), bytes.end(), uint8_t{1});
  return bytes;
}

Bytes Augmented(const Augmenter& augmenter, int64_t epoch, int64_t record,
                Bytes bytes = Counting()) {
  Bytes scratch(bytes.size());
  augmenter.Augment(epoch, record, reinterpret_cast<std::byte*>(bytes.data()),
                    reinterpret_cast<std::byte*>(scratch.data()), nullptr);
  return bytes;
}

Augmenter Make(const std::string& list, const Field& field = kPicture, uint64_t seed = 1) {
  return Augmenter(ParseConfig(list, "job.yaml"), field, seed);
}

std::string Message(const std::string& list, const Field& field = kPicture) {
  return ErrorOf([&] { Make(list, field); }).message();
}

TEST(AugmentTest, DependsOnSeedEpochAndRecordAlone) {
  const std::string list =
      "[random_crop: 2, horizontal_flip, colour_jitter: {brightness: 0.5}, random_erasing: 0.9]";
  const Augmenter a = Make(list);
  const Augmenter b = Make(list);
  EXPECT_EQ(Augmented(a, 3, 7), Augmented(b, 3, 7));
  std::set<Bytes> all = {Augmented(a, 3, 7), Augmented(a, 4, 7), Augmented(a, 3, 8),
                         Augmented(Make(list, kPicture, 2), 3, 7)};
  EXPECT_EQ(all.size(), 4u);
}

TEST(AugmentTest, FlipMirrorsEveryRowOfHalfOfTheSamples) {
  const Augmenter augmenter = Make("[horizontal_flip]");
  int flipped = 0;
  for (int64_t record = 0; record < 400; ++record) {
    const Bytes out = Augmented(augmenter, 0, record);
    if (out == Counting()) continue;
    ++flipped;
    for (size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(out[i], Counting()[i / 6 * 6 + 5 - i % 6]);
    }
  }
  EXPECT_NEAR(flipped, 200, 50);
  EXPECT_EQ(Augmented(Make("[horizontal_flip: 0]"), 0, 0), Counting());
  // Channels last: pixels change places, not their colours.
  const Field last = {.name = "x", .dtype = DType::kU8, .shape = Shape{2, 2, 3}};
  EXPECT_THAT(
      Augmented(Make("[horizontal_flip: 1]", last), 0, 0, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}),
      ElementsAre(4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9));
}

TEST(AugmentTest, CropMovesThePictureBehindABorder) {
  const Augmenter augmenter = Make("[random_crop: 2]");
  const Augmenter edge = Make("[random_crop: {padding: 2, border: edge}]");
  const Augmenter reflect = Make("[random_crop: {padding: 2, border: reflect}]");
  const Bytes in = Counting();
  std::set<std::pair<int64_t, int64_t>> moves;
  for (int64_t record = 0; record < 300; ++record) {
    const Bytes out = Augmented(augmenter, 0, record);
    // The middle of a plane is always there, and says how far it was moved.
    const int64_t middle = out[3 * 6 + 2] - 1;
    const int64_t down = middle / 6 - 3;
    const int64_t right = middle % 6 - 2;
    moves.insert({down, right});
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t y = 0; y < 8; ++y) {
        for (int64_t x = 0; x < 6; ++x) {
          const int64_t fy = y + down, fx = x + right;
          const bool inside = fy >= 0 && fy < 8 && fx >= 0 && fx < 6;
          const auto at = static_cast<size_t>(c * 48 + y * 6 + x);
          ASSERT_EQ(out[at], inside ? in[static_cast<size_t>(c * 48 + fy * 6 + fx)] : 0);
        }
      }
    }
    EXPECT_THAT(Augmented(edge, 0, record), Each(testing::Gt(0)));
    EXPECT_THAT(Augmented(reflect, 0, record), Each(testing::Gt(0)));
  }
  EXPECT_EQ(moves.size(), 25u);
}

TEST(AugmentTest, JitterStaysWithinItsFactors) {
  const Augmenter brightness = Make("[colour_jitter: {brightness: 0.5}]");
  std::set<uint8_t> seen;
  for (int64_t record = 0; record < 200; ++record) {
    const Bytes out = Augmented(brightness, 0, record, Bytes(144, 100));
    EXPECT_THAT(out, Each(out[0]));
    EXPECT_GE(out[0], 50);
    EXPECT_LE(out[0], 150);
    seen.insert(out[0]);
  }
  EXPECT_GT(seen.size(), 40u);
  // Of a grey picture neither contrast around its mean nor saturation nor hue changes anything.
  const Augmenter others = Make("[colour_jitter: {contrast: 0.5, saturation: 0.5, hue: 0.3}]");
  for (int64_t record = 0; record < 20; ++record) {
    EXPECT_THAT(Augmented(others, 0, record, Bytes(144, 100)),
                Each(testing::AllOf(testing::Ge(99), testing::Le(101))));
  }
}

TEST(AugmentTest, HueKeepsTheGreyOfAColour) {
  const Augmenter hue = Make("[colour_jitter: {hue: 0.5}]");
  Bytes colour(144, 100);
  std::fill(colour.begin(), colour.begin() + 48, uint8_t{130});
  bool changed = false;
  for (int64_t record = 0; record < 20; ++record) {
    const Bytes out = Augmented(hue, 0, record, colour);
    EXPECT_NEAR(0.299 * out[0] + 0.587 * out[48] + 0.114 * out[96], 0.299 * 130 + 0.701 * 100, 1.5);
    changed = changed || std::abs(out[0] - 130) > 10;
  }
  EXPECT_TRUE(changed);
}

TEST(AugmentTest, ErasingPaintsOneRectangle) {
  const Field large = {.name = "x", .dtype = DType::kU8, .shape = Shape{1, 20, 20}};
  const Augmenter augmenter =
      Make("[random_erasing: {probability: 1, value: 7, smallest: 0.1, largest: 0.3}]", large);
  for (int64_t record = 0; record < 100; ++record) {
    const Bytes out = Augmented(augmenter, 0, record, Bytes(400, 200));
    const auto painted = std::count(out.begin(), out.end(), 7);
    EXPECT_GE(painted, 20);
    EXPECT_LE(painted, 160);
    EXPECT_EQ(painted + std::count(out.begin(), out.end(), 200), 400);
  }
}

// ---- in a job

std::vector<std::pair<std::vector<float>, std::vector<float>>> Epoch(const Batches& batches,
                                                                     int64_t epoch) {
  std::vector<std::pair<std::vector<float>, std::vector<float>>> samples;
  const auto x_size = static_cast<size_t>(batches.outputs()[0].shape.size());
  const auto y_size = static_cast<size_t>(batches.outputs()[1].shape.size());
  for (int64_t step = epoch * batches.StepsPerEpoch(); step < (epoch + 1) * batches.StepsPerEpoch();
       ++step) {
    const auto count = static_cast<size_t>(batches.BatchOf(step));
    std::vector<float> x(count * x_size), y(count * y_size);
    batches.Fill(step, 0, batches.BatchOf(step), std::vector<void*>{x.data(), y.data()});
    for (size_t i = 0; i < count; ++i) {
      samples.push_back({{x.begin() + static_cast<int64_t>(i * x_size),
                          x.begin() + static_cast<int64_t>((i + 1) * x_size)},
                         {y.begin() + static_cast<int64_t>(i * y_size),
                          y.begin() + static_cast<int64_t>((i + 1) * y_size)}});
    }
  }
  return samples;
}

DataSets Open(const std::string& augment, const std::string& more = "") {
  return OpenData(
      DataTable().Read(ParseConfig("{batch: 16, source: {synthetic: {shape: [3, 8, 6], dtype: u8, "
                                   "classes: 4, samples: 64, test_samples: 16}}, augment: " +
                                       augment + more + "}",
                                   "job.yaml")),
      5);
}

TEST(AugmentTest, MixupMixesSamplesAndLabels) {
  const DataSets sets = Open("[mixup: 1]");
  EXPECT_EQ(sets.training_y().Describe(), "y f32[4]");
  EXPECT_EQ(sets.y().Describe(), "y i64[]");
  bool mixed = false;
  for (const auto& [x, y] : Epoch(*sets.TrainingBatches(5), 0)) {
    EXPECT_NEAR(std::accumulate(y.begin(), y.end(), 0.0), 1, 1e-6);
    const float most = *std::max_element(y.begin(), y.end());
    mixed = mixed || (most > 0.3f && most < 0.9f);
    for (const float value : x) {
      EXPECT_GE(value, 0.0f);
      EXPECT_LE(value, 1.0f);
    }
  }
  EXPECT_TRUE(mixed);
  // Test data stay as they are.
  EXPECT_EQ(sets.TestBatches(4)->outputs()[1].Describe(), "y i64[]");
}

TEST(AugmentTest, CutmixTakesARectangle) {
  const DataSets sets = Open("[cutmix]", ", shuffle: false");
  const DataSets plain = Open("[mixup: {alpha: 1, probability: 0}]", ", shuffle: false");
  const auto before = Epoch(*plain.TrainingBatches(5), 0);
  int cut = 0;
  const auto after = Epoch(*sets.TrainingBatches(5), 0);
  for (size_t i = 0; i < after.size(); ++i) {
    const auto& [x, y] = after[i];
    int changed = 0;
    for (size_t e = 0; e < x.size(); ++e) changed += x[e] != before[i].first[e] ? 1 : 0;
    const float own = *std::max_element(y.begin(), y.end());
    if (own == 1 || changed == 0) continue;
    ++cut;
    // The label's share is that of the pixels, but for pixels that happen to be the same.
    float largest_other = 0;
    for (const float share : y) largest_other += share < own ? share : 0;
    const float part = static_cast<float>(changed) / static_cast<float>(x.size());
    EXPECT_TRUE(std::abs(part - largest_other) < 0.05f || std::abs(part - own) < 0.05f)
        << part << " " << own;
  }
  EXPECT_GT(cut, 10);
}

TEST(AugmentTest, TheSameSamplesForAnyOrderOfWork) {
  const DataSets sets =
      Open("[random_crop: 1, horizontal_flip, random_erasing: 0.5, mixup: 0.5, cutmix: 1]");
  const auto batches = sets.TrainingBatches(5);
  EXPECT_FALSE(batches->cheap());
  const auto epoch = Epoch(*batches, 2);
  EXPECT_NE(epoch, Epoch(*batches, 1));
  EXPECT_EQ(epoch, Epoch(*Open("[random_crop: 1, horizontal_flip, random_erasing: 0.5, mixup: "
                               "0.5, cutmix: 1]")
                              .TrainingBatches(5),
                         2));
  // A piece of a batch alone, by a prefetcher of three threads.
  const Prefetcher prefetcher(batches, 3, 3);
  const int64_t step = 2 * batches->StepsPerEpoch() + 1;
  std::vector<float> x(5 * 144), y(5 * 4);
  prefetcher.Fill(step, 7, 5, std::vector<void*>{x.data(), y.data()});
  for (size_t i = 0; i < 5; ++i) {
    const auto& sample = epoch[16 + 7 + i];
    EXPECT_TRUE(std::equal(sample.first.begin(), sample.first.end(),
                           x.begin() + 144 * static_cast<int64_t>(i)));
    EXPECT_TRUE(std::equal(sample.second.begin(), sample.second.end(),
                           y.begin() + 4 * static_cast<int64_t>(i)));
  }
}

TEST(AugmentTest, StagesAreMeasured) {
  const DataSets sets = Open("[random_crop: 1, mixup: 0.5]");
  const auto batches = sets.TrainingBatches(5);
  Epoch(*batches, 0);
  ASSERT_NE(batches->stage_times(), nullptr);
  EXPECT_EQ(batches->stage_times()->samples(), 64);
  std::vector<std::string> names;
  for (const StageTime& stage : batches->stage_times()->Report()) names.push_back(stage.name);
  EXPECT_THAT(names, ElementsAre("read", "random_crop", "convert", "mix"));
}

TEST(AugmentTest, FaultsAreNamed) {
  EXPECT_THAT(Message("[rotate]"), HasSubstr("rotate"));
  EXPECT_THAT(ErrorOf([] { Make("[horizontal_flop]"); }).hint(),
              HasSubstr("did you mean 'horizontal_flip'?"));
  EXPECT_THAT(Message("horizontal_flip"), HasSubstr("expected a list of augmentations"));
  const Field row = {.name = "x", .dtype = DType::kF32, .shape = Shape{7}};
  EXPECT_THAT(Message("[horizontal_flip]", row),
              HasSubstr("horizontal_flip changes pictures, but a sample of the data is x f32[7]"));
  const Field floats = {.name = "x", .dtype = DType::kF32, .shape = Shape{3, 4, 4}};
  EXPECT_THAT(Message("[colour_jitter: {hue: 0.1}]", floats), HasSubstr("changes bytes"));
  const Field grey = {.name = "x", .dtype = DType::kU8, .shape = Shape{4, 4}};
  EXPECT_THAT(Message("[colour_jitter: {hue: 0.1}]", grey), HasSubstr("no hue to change"));
  EXPECT_THAT(Message("[random_crop: {padding: 9, border: reflect}]"),
              HasSubstr("reflects more than a picture of 8 x 6 has"));
  EXPECT_THAT(Message("[random_crop: 9223372036854775807]"),
              HasSubstr("expected a number from 1 to 1073741824"));
  EXPECT_THAT(Message("[random_erasing: {smallest: 0.5, largest: 0.1}]"),
              HasSubstr("smallest is above largest"));
}

}  // namespace
}  // namespace ingot::data
