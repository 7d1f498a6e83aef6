// Source: random access to the records of a data set, whatever it is stored in.
//
// A record has fields, the same ones in every record: usually "x" (what the network sees) and "y"
// (what it should answer). Sources hand out what is stored; transforms (transforms.h) convert it.
// Immutable after construction and safe from any number of threads; Read does not allocate.
// A new format is a class in a file of its own, and a line in data_options.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/tensor/dtype.h"
#include "ingot/tensor/shape.h"
#include "ingot/tensor/tensor.h"

namespace ingot::data {

// One field of every record of a source, or one data input of a network.
struct Field {
  std::string name;  // "x", "y"
  DType dtype = DType::kUndefined;
  Shape shape;  // of one sample: [28, 28]; [] for a class number
  // For class numbers and categories: they are in [0, classes); else 0.
  int64_t classes = 0;
  // The last so many elements stand for categories, whatever their type: they are not standardised.
  int64_t categorical = 0;

  size_t bytes() const { return static_cast<size_t>(shape.size()) * ItemSize(dtype); }
  // "x u8[28, 28]".
  std::string Describe() const;
};

// Where all records of a field lie at equal distances in memory.
struct ContiguousField {
  const std::byte* data = nullptr;  // null: they do not
  size_t stride = 0;                // bytes from one record to the next
};

class Source {
 public:
  virtual ~Source() = default;

  virtual int64_t size() const = 0;  // records
  virtual const std::vector<Field>& fields() const = 0;

  // The raw bytes of one field of one record, fields()[field].bytes() of them, into `out`.
  // `record` in [0, size()). Throws Error where the record cannot be read, naming file and place.
  virtual void Read(int64_t record, int field, void* out) const = 0;

  // Direct access for sources in memory; batches are assembled without a copy between.
  virtual ContiguousField Contiguous(int /*field*/) const { return {}; }

  // Where a record stands, for messages: "train-images-idx3-ubyte.gz, sample 17", "iris.csv:18".
  virtual std::string Where(int64_t record) const = 0;

  // A number that differs, but for chance, between different data: from the number of records, the
  // fields, and the bytes of all records of small sources or of 4,096 evenly spaced ones of large
  // sources. Stored in checkpoints, so that resuming with other data is noticed. Reads the data.
  virtual uint64_t Digest() const;

  // The index of a field by name; throws Error(kNotFound) naming the fields there are.
  int FieldIndex(std::string_view name) const;
};

// Tensors of one leading extent, one field each. Shares the tensors' bytes: do not change them.
class MemorySource : public Source {
 public:
  // names[i] names tensors[i], which is [n, ...]. Throws Error(kInvalidInput) for tensors of
  // different n, none at all, or types that are not stored one element after another.
  MemorySource(std::vector<std::string> names, std::vector<Tensor> tensors,
               std::string description = "memory");

  int64_t size() const override { return size_; }
  const std::vector<Field>& fields() const override { return fields_; }
  void Read(int64_t record, int field, void* out) const override;
  ContiguousField Contiguous(int field) const override;
  std::string Where(int64_t record) const override;

  // Declares that an integer field holds class numbers (or tokens) in [0, classes). Throws
  // Error(kInvalidInput) naming the first record that does not.
  void SetClasses(std::string_view field, int64_t classes);

 private:
  std::string description_;
  int64_t size_ = 0;
  std::vector<Field> fields_;
  std::vector<Tensor> tensors_;
};

// The i-th of `count` records of `size` that are evenly spaced, the first and the last among them.
int64_t EvenlySpaced(int64_t i, int64_t count, int64_t size);

// 64-bit hash of bytes, continuing from `state`; not cryptographic. Little-endian words.
uint64_t HashBytes(uint64_t state, std::span<const std::byte> bytes);

}  // namespace ingot::data
