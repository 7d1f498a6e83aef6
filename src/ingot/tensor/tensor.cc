// Allocation, copies and conversion of tensors.
#include "ingot/tensor/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include <sys/mman.h>
#include <unistd.h>

#include "ingot/base/sanitizer.h"
#include "ingot/base/text.h"
#include "ingot/tensor/narrow.h"

namespace ingot {

namespace {

// More than this machine has: the system would promise it, and end the process when it is touched.
bool IsMoreThanThereIs(size_t bytes) {
  constexpr size_t kPlausible = size_t{1} << 30;
  if (bytes < kPlausible) return false;
  const auto pages = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES));
  return bytes / static_cast<size_t>(::sysconf(_SC_PAGE_SIZE)) >= pages;
}

// From this size on memory comes from the system, which gives it zeroed: clearing it again would
// cost as much as filling it, and pages of 2 MiB cost a fraction of those of 4 KiB. The sanitizers
// watch what malloc gives.
#if INGOT_SANITIZED
constexpr size_t kFromSystem = SIZE_MAX;
#else
constexpr size_t kFromSystem = size_t{1} << 20;
#endif

// Null where the system has none.
std::shared_ptr<std::byte> FromSystem(size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  ::madvise(memory, bytes, MADV_HUGEPAGE);  // where it is refused, small pages do
  return {static_cast<std::byte*>(memory), [bytes](std::byte* p) { ::munmap(p, bytes); }};
}

}  // namespace

std::shared_ptr<std::byte> AllocateBytes(size_t bytes) {
  const size_t rounded = std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  const bool refused = rounded < bytes || IsMoreThanThereIs(rounded);
  if (!refused && rounded >= kFromSystem) {
    if (std::shared_ptr<std::byte> memory = FromSystem(rounded)) return memory;
  }
  void* memory = refused ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (memory == nullptr) {
    throw Error(ErrorCode::kOutOfMemory, "cannot allocate " + HumanBytes(bytes),
                "use a smaller batch or model, or free memory on this machine");
  }
  std::memset(memory, 0, rounded);
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

Tensor::Tensor(DType dtype, const Shape& shape)
    : Tensor(dtype, shape, AllocateBytes(static_cast<size_t>(shape.size()) * ItemSize(dtype))) {}

Tensor::Tensor(DType dtype, const Shape& shape, std::shared_ptr<std::byte> owner, size_t offset)
    : dtype_(dtype), shape_(shape), size_(shape.size()), owner_(std::move(owner)) {
  data_ = owner_.get() + offset;
}

Tensor Tensor::Clone() const {
  if (empty()) return {};
  Tensor copy(dtype_, shape_);
  std::memcpy(copy.data_, data_, bytes());
  copy.texts_ = texts_;
  return copy;
}

Tensor Tensor::Reshape(const Shape& shape) const {
  if (shape.size() != size_) {
    throw Error(ErrorCode::kInvalidInput,
                "cannot reshape " + Describe() + " to " + shape.ToString());
  }
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::Cast(DType dtype) const {
  Tensor result(dtype, shape_);
  ConvertElements(data_, dtype_, result.data_, dtype, size_);
  return result;
}

std::vector<double> Tensor::ToDoubles() const {
  std::vector<double> values(static_cast<size_t>(size_));
  ConvertElements(data_, dtype_, values.data(), DType::kF64, size_);
  return values;
}

std::vector<int64_t> Tensor::ToInts() const {
  std::vector<int64_t> values(static_cast<size_t>(size_));
  ConvertElements(data_, dtype_, values.data(), DType::kI64, size_);
  return values;
}

Tensor Tensor::OfStrings(const Shape& shape, std::vector<std::string> texts) {
  Tensor tensor(DType::kString, shape);
  if (static_cast<int64_t>(texts.size()) != tensor.size()) {
    throw Error(ErrorCode::kInvalidInput, "shape " + shape.ToString() + " does not hold " +
                                              std::to_string(texts.size()) + " strings");
  }
  const auto block = std::make_shared<const std::vector<std::string>>(std::move(texts));
  const std::span<StringRef> handles = tensor.data<StringRef>();
  for (size_t i = 0; i < handles.size(); ++i) handles[i] = StringRef(&(*block)[i]);
  tensor.texts_ = std::make_shared<const Texts>(Texts{block});
  return tensor;
}

std::vector<std::string> Tensor::ToStrings() const {
  std::vector<std::string> texts;
  for (const StringRef& text : data<StringRef>()) texts.emplace_back(text.view());
  return texts;
}

void Tensor::KeepTexts(std::span<const Tensor> from) {
  if (dtype_ != DType::kString) return;
  Texts all = texts_ == nullptr ? Texts() : *texts_;
  for (const Tensor& tensor : from) {
    if (tensor.texts_ != nullptr)
      all.insert(all.end(), tensor.texts_->begin(), tensor.texts_->end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  texts_ = std::make_shared<const Texts>(std::move(all));
}

std::string Tensor::Describe() const {
  return std::string(Name(dtype_)) + shape_.ToString();
}

void Tensor::CheckType(DType wanted) const {
  if (dtype_ != wanted) {
    throw Error(ErrorCode::kInvalidInput,
                "tensor " + Describe() + " was read as " + std::string(Name(wanted)));
  }
}

namespace {

// Narrow types go through double, in pieces that stay in cache.
void ConvertNarrow(const void* from, DType from_type, void* to, DType to_type, int64_t count) {
  constexpr int64_t kPiece = 256;
  double buffer[kPiece];
  const auto* source = static_cast<const std::byte*>(from);
  auto* target = static_cast<std::byte*>(to);
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    const int64_t n = std::min(kPiece, count - begin);
    if (IsNarrow(from_type)) {
      for (int64_t i = 0; i < n; ++i) {
        buffer[i] = DecodeNarrow(from_type, static_cast<uint8_t>(source[begin + i]));
      }
    } else {
      ConvertElements(source + static_cast<size_t>(begin) * ItemSize(from_type), from_type, buffer,
                      DType::kF64, n);
    }
    if (IsNarrow(to_type)) {
      for (int64_t i = 0; i < n; ++i) {
        target[begin + i] = static_cast<std::byte>(EncodeNarrow(to_type, buffer[i]));
      }
    } else {
      ConvertElements(buffer, DType::kF64, target + static_cast<size_t>(begin) * ItemSize(to_type),
                      to_type, n);
    }
  }
}

}  // namespace

void ConvertElements(const void* from, DType from_type, void* to, DType to_type, int64_t count) {
  if (IsNarrow(from_type) || IsNarrow(to_type)) {
    ConvertNarrow(from, from_type, to, to_type, count);
    return;
  }
  DispatchAll("convert", from_type, [&](auto from_tag) {
    using From = typename decltype(from_tag)::type;
    DispatchAll("convert", to_type, [&](auto to_tag) {
      using To = typename decltype(to_tag)::type;
      const auto* source = static_cast<const std::byte*>(from);
      To* target = static_cast<To*>(to);
      for (int64_t i = 0; i < count; ++i, source += sizeof(From)) {
        From value;  // what is mapped from a file may lie at any address
        std::memcpy(&value, source, sizeof(From));
        if constexpr (std::is_same_v<From, To>) {
          target[i] = value;
        } else if constexpr (std::is_same_v<To, bool>) {
          target[i] = static_cast<double>(value) != 0;
        } else if constexpr (std::is_same_v<To, Float16> || std::is_same_v<To, BFloat16>) {
          target[i] = To(static_cast<float>(value));
        } else if constexpr (std::is_same_v<From, Float16> || std::is_same_v<From, BFloat16>) {
          target[i] = static_cast<To>(static_cast<float>(value));
        } else {
          target[i] = static_cast<To>(value);
        }
      }
    });
  });
}

}  // namespace ingot
