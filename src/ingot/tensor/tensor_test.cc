// Tensors: ownership, views, conversion and messages.
#include "ingot/tensor/tensor.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

namespace ingot {
namespace {

std::string MessageOf(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.message();
  }
  return "no error";
}

TEST(TensorTest, IsZeroedAlignedAndDescribed) {
  const Tensor tensor(DType::kF32, {3, 5});
  EXPECT_EQ(tensor.Describe(), "f32[3, 5]");
  EXPECT_EQ(tensor.size(), 15);
  EXPECT_EQ(tensor.bytes(), 60u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % kAlignment, 0u);
  for (const float v : tensor.data<float>()) EXPECT_EQ(v, 0.0f);
}

TEST(TensorTest, EmptyTensorsAreTwoThings) {
  EXPECT_TRUE(Tensor().empty());
  const Tensor no_rows(DType::kI64, {0, 3});
  EXPECT_FALSE(no_rows.empty());
  EXPECT_EQ(no_rows.bytes(), 0u);
  EXPECT_TRUE(no_rows.ToDoubles().empty());
  EXPECT_TRUE(Tensor().Clone().empty());
}

TEST(TensorTest, CopiesShareAndClonesDoNot) {
  Tensor original = Tensor::Of<int32_t>({2}, {1, 2});
  Tensor shared = original;
  Tensor cloned = original.Clone();
  original.data<int32_t>()[0] = 7;
  EXPECT_EQ(shared.ToInts(), (std::vector<int64_t>{7, 2}));
  EXPECT_EQ(cloned.ToInts(), (std::vector<int64_t>{1, 2}));
}

TEST(TensorTest, OutlivesTheTensorThatMadeItsBytes) {
  Tensor view;
  {
    const Tensor made = Tensor::Of<float>({2, 2}, {1, 2, 3, 4});
    view = made.Reshape({4});
  }
  EXPECT_EQ(view.ToDoubles(), (std::vector<double>{1, 2, 3, 4}));
}

TEST(TensorTest, ViewsBytesOfOthers) {
  auto bytes = AllocateBytes(64);
  reinterpret_cast<float*>(bytes.get())[3] = 5;
  const Tensor tensor(DType::kF32, {1}, bytes, 3 * sizeof(float));
  EXPECT_EQ(tensor.ToDoubles(), std::vector<double>{5});
}

TEST(TensorTest, ViewHasItsShape) {
  const Tensor tensor(DType::kF64, {2, 3});
  const TensorView view = tensor.view();
  EXPECT_EQ(view.rank(), 2);
  EXPECT_EQ(view.size(), 6);
  EXPECT_EQ(view.dim(-1), 3);
  EXPECT_EQ(view.bytes(), 48u);
  EXPECT_EQ(view.data, static_cast<const void*>(tensor.raw()));
}

TEST(TensorTest, MessagesNameWhatWasGiven) {
  EXPECT_EQ(MessageOf([] {
              Tensor::Of<float>({2, 2}, {1, 2, 3});
            }),
            "shape [2, 2] does not hold 3 values");
  EXPECT_EQ(MessageOf([] { (void)Tensor(DType::kF32, {2}).data<double>(); }),
            "tensor f32[2] was read as f64");
  EXPECT_EQ(MessageOf([] {
              (void)Tensor(DType::kF32, {2, 3}).Reshape({5});
            }),
            "cannot reshape f32[2, 3] to [5]");
}

TEST(TensorTest, TooLargeIsAnOrdinaryError) {
  try {
    AllocateBytes(std::numeric_limits<size_t>::max() - 8);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_EQ(error.message().rfind("cannot allocate ", 0), 0u);
  }
}

TEST(TensorTest, CastsBetweenAllTypes) {
  const std::vector<DType> types = {DType::kU8,  DType::kI8,   DType::kU16, DType::kI16,
                                    DType::kI32, DType::kI64,  DType::kU32, DType::kU64,
                                    DType::kF16, DType::kBf16, DType::kF32, DType::kF64};
  const Tensor numbers = Tensor::Of<double>({4}, {0, 1, 2, 100});
  for (const DType from : types) {
    for (const DType to : types) {
      EXPECT_EQ(numbers.Cast(from).Cast(to).ToDoubles(), numbers.ToDoubles())
          << Name(from) << " to " << Name(to);
    }
    EXPECT_EQ(numbers.Cast(from).Cast(DType::kBool).ToInts(), (std::vector<int64_t>{0, 1, 1, 1}));
    EXPECT_EQ(numbers.Cast(DType::kBool).Cast(from).ToInts(), (std::vector<int64_t>{0, 1, 1, 1}));
  }
}

TEST(TensorTest, CastTruncatesAndRoundsAsDocumented) {
  const Tensor numbers = Tensor::Of<float>({4}, {1.9f, -1.9f, 0.25f, -0.5f});
  EXPECT_EQ(numbers.Cast(DType::kI32).ToInts(), (std::vector<int64_t>{1, -1, 0, 0}));
  EXPECT_EQ(numbers.Cast(DType::kBool).ToInts(), (std::vector<int64_t>{1, 1, 1, 1}));
  const Tensor fine = Tensor::Of<double>({1}, {1 + 0x1p-9});
  EXPECT_EQ(fine.Cast(DType::kBf16).ToDoubles(), std::vector<double>{1});
  EXPECT_EQ(fine.Cast(DType::kF16).ToDoubles(), std::vector<double>{1 + 0x1p-9});
  EXPECT_TRUE(std::isnan(Tensor::Scalar<double>(NAN).Cast(DType::kF16).ToDoubles()[0]));
}

TEST(TensorTest, ScalarHasNoAxes) {
  const Tensor scalar = Tensor::Scalar<int64_t>(42);
  EXPECT_EQ(scalar.shape(), Shape{});
  EXPECT_EQ(scalar.ToInts(), std::vector<int64_t>{42});
}

TEST(TensorTest, StringsAreHandlesThatTheTensorKeepsAlive) {
  Tensor moved(DType::kString, {3});
  {
    const Tensor texts = Tensor::OfStrings({2}, {"short", std::string(100, 'x')});
    EXPECT_EQ(texts.ToStrings(), (std::vector<std::string>{"short", std::string(100, 'x')}));
    moved.data<StringRef>()[1] = texts.data<StringRef>()[1];
    moved.KeepTexts({&texts, 1});
  }
  EXPECT_EQ(moved.Clone().Reshape({3, 1}).ToStrings(),
            (std::vector<std::string>{"", std::string(100, 'x'), ""}));
  EXPECT_THROW(Tensor::OfStrings({3}, {"a"}), Error);
}

}  // namespace
}  // namespace ingot
