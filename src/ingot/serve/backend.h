// Backend: what computes a served model. The server knows models by this alone; infer::Session is
// behind it for ONNX files.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingot/tensor/tensor.h"

namespace ingot::serve {

// A tensor between server and backend. Strings are in the form in which they travel (data_type.h),
// so that they too are bytes.
struct Value {
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;  // keeps the bytes
};

struct Port {
  std::string name;
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;         // -1: any extent
  std::vector<std::string> symbols;  // names of the dynamic extents, "" where there is none
  std::shared_ptr<const Value> fallback = nullptr;  // where the input is not given; null: none
};

// Immutable once made; Run may be called by several threads at once.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const std::vector<Port>& inputs() const = 0;
  virtual const std::vector<Port>& outputs() const = 0;
  // Inputs and outputs in the order of the ports. The bytes of inputs begin at multiples of
  // kAlignment. `alone`: a short run, which is to wake no other threads. Throws Error.
  virtual std::vector<Value> Run(std::span<const Value> inputs, bool alone) const = 0;
  // Bytes that it holds, as far as it knows.
  virtual uint64_t memory() const = 0;
};

// What a model is made from.
struct ModelSource {
  std::string path;      // the file; a name only, where `contents` is given
  std::string contents;  // in place of the file, where not empty
  int threads = 0;       // 0: as the backend likes it
  std::map<std::string, std::string> parameters;  // of config.pbtxt
  std::vector<std::string> optional_inputs;       // that are inputs where the model has a default
};

}  // namespace ingot::serve
