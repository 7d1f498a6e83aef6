// What all sources share, and the source in memory.
#include "ingot/data/source.h"

#include <algorithm>
#include <cstring>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::data {

namespace {

// Records that the digest of a large source reads.
constexpr int64_t kDigestRecords = 4096;

uint64_t MixWord(uint64_t state, uint64_t word) {
  uint64_t h = (state ^ word) * 0x9e3779b97f4a7c15u;
  h ^= h >> 29;
  return h * 0xbf58476d1ce4e5b9u + 0x94d049bb133111ebu;
}

}  // namespace

uint64_t HashBytes(uint64_t state, std::span<const std::byte> bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    state = MixWord(state, word);
  }
  uint64_t rest = 0;
  if (i < bytes.size()) std::memcpy(&rest, bytes.data() + i, bytes.size() - i);
  return MixWord(MixWord(state, rest), bytes.size());
}

int64_t EvenlySpaced(int64_t i, int64_t count, int64_t size) {
  return count < 2 ? 0 : i * (size - 1) / (count - 1);
}

std::string Field::Describe() const {
  return name + " " + std::string(Name(dtype)) + shape.ToString();
}

uint64_t Source::Digest() const {
  uint64_t digest = MixWord(0, static_cast<uint64_t>(size()));
  for (size_t f = 0; f < fields().size(); ++f) {
    const Field& field = fields()[f];
    const std::string header = field.Describe();
    digest = HashBytes(digest, std::as_bytes(std::span(header)));
    std::vector<std::byte> sample(field.bytes());
    const int64_t count = std::min(size(), kDigestRecords);
    for (int64_t i = 0; i < count; ++i) {
      Read(EvenlySpaced(i, count, size()), static_cast<int>(f), sample.data());
      digest = HashBytes(digest, sample);
    }
  }
  return digest;
}

int Source::FieldIndex(std::string_view name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < fields().size(); ++i) {
    if (fields()[i].name == name) return static_cast<int>(i);
    names.push_back(fields()[i].name);
  }
  throw Error(ErrorCode::kNotFound, "the data have no field '" + std::string(name) + "'",
              DidYouMean(name, names));
}

MemorySource::MemorySource(std::vector<std::string> names, std::vector<Tensor> tensors,
                           std::string description)
    : description_(std::move(description)), tensors_(std::move(tensors)) {
  if (tensors_.empty() || names.size() != tensors_.size()) {
    throw Error(ErrorCode::kInvalidInput, "a source in memory needs one tensor for each of its " +
                                              std::to_string(names.size()) + " fields, but got " +
                                              std::to_string(tensors_.size()));
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    if (tensor.shape().rank() == 0 || !IsArithmetic(tensor.dtype())) {
      throw Error(ErrorCode::kInvalidInput, "field '" + names[i] + "' is " + tensor.Describe() +
                                                ", expected numbers with one row for each sample");
    }
    if (i == 0) size_ = tensor.shape()[0];
    if (tensor.shape()[0] != size_) {
      throw Error(ErrorCode::kInvalidInput,
                  "field '" + names[0] + "' has " + WithThousands(size_) + " samples but '" +
                      names[i] + "' has " + WithThousands(tensor.shape()[0]),
                  "every field needs one row for each sample");
    }
    const std::vector<int64_t>& dims = tensor.shape().dims();
    fields_.push_back({.name = names[i],
                       .dtype = tensor.dtype(),
                       .shape = Shape(std::vector<int64_t>(dims.begin() + 1, dims.end()))});
  }
}

void MemorySource::Read(int64_t record, int field, void* out) const {
  const ContiguousField all = Contiguous(field);
  std::memcpy(out, all.data + static_cast<size_t>(record) * all.stride, all.stride);
}

ContiguousField MemorySource::Contiguous(int field) const {
  const auto f = static_cast<size_t>(field);
  return {tensors_[f].raw(), fields_[f].bytes()};
}

std::string MemorySource::Where(int64_t record) const {
  return description_ + ", sample " + std::to_string(record);
}

void MemorySource::SetClasses(std::string_view name, int64_t classes) {
  const int index = FieldIndex(name);
  Field& field = fields_[static_cast<size_t>(index)];
  if (!IsInteger(field.dtype)) {
    throw Error(ErrorCode::kInvalidInput,
                "field " + field.Describe() + " cannot hold class numbers",
                "class numbers are integers");
  }
  const size_t of_record = std::max<size_t>(static_cast<size_t>(field.shape.size()), 1);
  const std::vector<int64_t> values = tensors_[static_cast<size_t>(index)].ToInts();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= 0 && values[i] < classes) continue;
    throw Error(ErrorCode::kInvalidInput, Where(static_cast<int64_t>(i / of_record)) + ": label " +
                                              std::to_string(values[i]) + " is not in [0, " +
                                              std::to_string(classes) + ")");
  }
  field.classes = classes;
}

}  // namespace ingot::data
