// Conversions: each step, and that collapsed chains equal the steps one by one.
#include "ingot/data/conversion.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/config.h"
#include "ingot/base/error.h"
#include "ingot/data/transforms.h"

namespace ingot::data {
namespace {

using testing::HasSubstr;

Field Bytes(Shape shape) {
  return {.name = "x", .dtype = DType::kU8, .shape = std::move(shape)};
}

template <typename To, typename From>
std::vector<To> Apply(const Conversion& conversion, const std::vector<From>& in) {
  std::vector<To> out(static_cast<size_t>(conversion.output().shape.size()));
  conversion.Apply(in.data(), out.data());
  return out;
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

TEST(ConversionTest, CollapsesTheCommonChain) {
  Conversion conversion(Bytes({16, 17}));
  conversion.Cast(DType::kF32);
  conversion.Normalise(255, {}, {});
  conversion.Normalise(1, std::vector<double>{0.1307}, std::vector<double>{0.3081});
  conversion.Flatten();
  EXPECT_EQ(conversion.output().Describe(), "x f32[272]");
  EXPECT_TRUE(conversion.cheap());
  EXPECT_THAT(conversion.Describe(), HasSubstr("u8[16, 17] -> f32[272]: x * 0.0127"));
  std::vector<uint8_t> in(272);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i);
  const std::vector<float> out = Apply<float>(conversion, in);
  for (size_t i = 0; i < in.size(); ++i) {
    const double expected = (in[i] / 255.0 - 0.1307) / 0.3081;
    EXPECT_NEAR(out[i], expected, 1e-6);
  }
}

TEST(ConversionTest, IsExactInF64) {
  Conversion conversion(Bytes({256}));
  conversion.Normalise(255, {}, {});
  conversion.Cast(DType::kF64);
  std::vector<uint8_t> in(256);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i);
  const std::vector<double> out = Apply<double>(conversion, in);
  for (size_t i = 0; i < in.size(); ++i) EXPECT_EQ(out[i], static_cast<double>(i) / 255.0);
}

TEST(ConversionTest, NormalisesAlongAnAxis) {
  Conversion channels_first(Bytes({2, 3}));
  channels_first.Normalise(1, std::vector<double>{1, 2}, std::vector<double>{1, 2}, 0);
  EXPECT_EQ(Apply<float>(channels_first, std::vector<uint8_t>{1, 2, 3, 4, 6, 8}),
            (std::vector<float>{0, 1, 2, 1, 2, 3}));
  Conversion columns(Bytes({2, 3}));
  columns.Normalise(1, std::vector<double>{1, 2, 3}, {});
  EXPECT_EQ(Apply<float>(columns, std::vector<uint8_t>{1, 2, 3, 4, 6, 8}),
            (std::vector<float>{0, 0, 0, 3, 4, 5}));
  EXPECT_EQ(Message([&] {
              columns.Normalise(1, std::vector<double>{1, 2}, {});
            }),
            "normalise has 2 values for axis -1 of field x f32[2, 3], which has extent 3");
  EXPECT_EQ(Message([&] { columns.Normalise(0, {}, {}); }), "normalise divides by 0");
}

TEST(ConversionTest, EveryInputTypeAgreesWithTheExactPath) {
  for (const DType dtype : {DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kI32,
                            DType::kF32, DType::kF64, DType::kF16}) {
    for (const bool elements : {false, true}) {
      Conversion conversion({.name = "x", .dtype = dtype, .shape = Shape{37}});
      std::vector<double> mean(elements ? 37 : 1, 3);
      mean.back() = 5;
      conversion.Normalise(2, mean, std::vector<double>{0.5});
      conversion.Cast(DType::kF32);
      std::vector<double> values(37);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
      const Tensor in = Tensor::Of<double>({37}, std::span<const double>(values)).Cast(dtype);
      std::vector<float> out(37);
      conversion.Apply(in.raw(), out.data());
      std::vector<double> exact(37);
      conversion.ToDoubles(in.raw(), exact);
      for (size_t i = 0; i < out.size(); ++i) {
        EXPECT_NEAR(out[i], exact[i], 1e-5) << Name(dtype) << " " << i;
      }
    }
  }
}

// Seconds of a few days, as times of day are written: f32 has steps of 128 there.
TEST(ConversionTest, LargeNumbersInF64KeepTheirDifferences) {
  for (const bool elements : {false, true}) {
    Conversion conversion({.name = "x", .dtype = DType::kF64, .shape = Shape{3}});
    conversion.Normalise(1, std::vector<double>(elements ? 3 : 1, 1.7e9), std::vector<double>{10});
    conversion.Cast(DType::kF32);
    EXPECT_TRUE(conversion.cheap());
    EXPECT_THAT(Apply<float>(conversion, std::vector<double>{1.7e9 - 10, 1.7e9, 1.7e9 + 5}),
                testing::Pointwise(testing::FloatNear(1e-6f), {-1.0f, 0.0f, 0.5f}));
  }
}

TEST(ConversionTest, NumbersOfCategoriesAreNotNormalised) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    Conversion conversion(
        {.name = "x", .dtype = dtype, .shape = Shape{4}, .classes = 9, .categorical = 2});
    conversion.Normalise(3, std::vector<double>{1}, std::vector<double>{0.5});
    conversion.Cast(DType::kF32);
    EXPECT_EQ(conversion.output().classes, 9);
    const Tensor in = Tensor::Of<double>({4}, std::vector<double>{3, 6, 7, 8}).Cast(dtype);
    std::vector<float> out(4);
    conversion.Apply(in.raw(), out.data());
    EXPECT_THAT(out, testing::Pointwise(testing::FloatNear(1e-6f), {0.0f, 2.0f, 7.0f, 8.0f}));
    EXPECT_EQ(out[2], 7);
    EXPECT_EQ(out[3], 8);
    std::vector<double> exact(4);
    conversion.ToDoubles(in.raw(), exact);
    EXPECT_THAT(exact, testing::ElementsAre(0, 2, 7, 8));
  }
  // Categories that are spread over columns of zeros and ones are numbers as others.
  Conversion one_hot({.name = "x", .dtype = DType::kF32, .shape = Shape{2}, .categorical = 1});
  one_hot.Normalise(2, {}, {});
  EXPECT_EQ(Apply<float>(one_hot, std::vector<float>{4, 1}), (std::vector<float>{2, 0.5}));
}

TEST(ConversionTest, CastsLabels) {
  Conversion conversion({.name = "y", .dtype = DType::kU8, .shape = Shape{}, .classes = 10});
  conversion.Cast(DType::kI64);
  EXPECT_EQ(Apply<int64_t>(conversion, std::vector<uint8_t>{200}), (std::vector<int64_t>{200}));
  EXPECT_EQ(conversion.output().classes, 10);
}

TEST(ConversionTest, TruncatesAndClampsToIntegers) {
  Conversion conversion({.name = "x", .dtype = DType::kF32, .shape = Shape{5}});
  conversion.Cast(DType::kU8);
  EXPECT_EQ(Apply<uint8_t>(conversion, std::vector<float>{1.9f, -3, 300, 255, NAN}),
            (std::vector<uint8_t>{1, 0, 255, 255, 0}));
}

TEST(ConversionTest, OneHot) {
  Conversion conversion({.name = "y", .dtype = DType::kU8, .shape = Shape{}, .classes = 3});
  conversion.OneHot(3);
  EXPECT_EQ(conversion.output().Describe(), "y f32[3]");
  EXPECT_EQ(Apply<float>(conversion, std::vector<uint8_t>{1}), (std::vector<float>{0, 1, 0}));
  EXPECT_EQ(Message([&] { Apply<float>(conversion, std::vector<uint8_t>{3}); }),
            "label 3 is not in [0, 3)");
  Conversion image(Bytes({2, 2}));
  EXPECT_EQ(Message([&] { image.OneHot(3); }),
            "one_hot needs one class number for each sample, but the field is x u8[2, 2]");
}

class TransformsTest : public testing::Test {
 protected:
  TransformsTest()
      : source_({"x", "y"}, {Tensor::Of<double>({4, 2}, {1, 5, 2, 5, 3, 5, 6, 5}),
                             Tensor::Of<int64_t>({4}, {0, 1, 2, 1})}),
        selection_(Selection::All(4)) {
    for (const Field& field : source_.fields()) conversions_.emplace_back(field);
  }
  void Apply(const std::string& yaml) {
    ApplyTransforms(ParseConfig(yaml, "job.yaml"), {conversions_, source_, selection_});
  }
  std::string Fault(const std::string& yaml) {
    return Message([&] { Apply(yaml); });
  }
  MemorySource source_;
  Selection selection_;
  std::vector<Conversion> conversions_;
};

TEST_F(TransformsTest, ReadsTheList) {
  Apply("- normalise: {divide: 2, mean: [1], std: [0.5]}\n- cast: f32\n- one_hot: 3\n- flatten\n");
  EXPECT_EQ(conversions_[0].output().Describe(), "x f32[2]");
  EXPECT_EQ(conversions_[1].output().Describe(), "y f32[3]");
}

TEST_F(TransformsTest, StandardisesByTheTrainingData) {
  Apply("- standardise\n- cast: f64\n");
  std::vector<double> mean(2);
  double squares = 0;
  for (int64_t i = 0; i < 4; ++i) {
    std::vector<double> raw(2);
    std::vector<double> out(2);
    source_.Read(i, 0, raw.data());
    conversions_[0].Apply(raw.data(), out.data());
    mean[0] += out[0];
    squares += out[0] * out[0];
    EXPECT_EQ(out[1], 0);  // a constant column is only shifted
  }
  EXPECT_NEAR(mean[0], 0, 1e-12);
  EXPECT_NEAR(squares / 4, 1, 1e-12);
}

TEST_F(TransformsTest, SaysWhatIsWrong) {
  EXPECT_THAT(Fault("- normalize: 255\n"), HasSubstr("unknown transform 'normalize'"));
  EXPECT_THAT(Fault("- cast: f31\n"), HasSubstr("job.yaml:1"));
  EXPECT_THAT(Fault("- flatten: {feild: y}\n"), HasSubstr("feild"));
  EXPECT_THAT(Fault("- flatten: {field: z}\n"), HasSubstr("the data have no field 'z'"));
  EXPECT_THAT(Fault("- one_hot\n"), HasSubstr("one_hot with 0 classes"));
  EXPECT_THAT(Fault("flatten\n"), HasSubstr("expected a list of transforms"));
}

}  // namespace
}  // namespace ingot::data
