// Session: an ONNX model, loaded once and run any number of times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/tensor/datum.h"
#include "ingot/tensor/dtype.h"
#include "ingot/tensor/tensor.h"

namespace ingot::infer {

class Executor;

// What products of matrices and convolutions are computed in; everything else is as the model says.
enum class Precision {
  kF32,   // the model's own types
  kBf16,  // their f32 operands are rounded to bf16, and their sums are f32
};

// Throws Error(kInvalidInput) for anything but "f32" and "bf16".
Precision ParsePrecision(std::string_view name);

// An input or output of a model.
struct PortInfo {
  enum class Kind { kTensor, kSequence, kOptional };

  std::string name;
  Kind kind = Kind::kTensor;
  DType dtype = DType::kUndefined;   // of a tensor's elements, or of the tensors in a sequence
  bool has_rank = true;              // false: of any rank, and dims is empty
  std::vector<int64_t> dims;         // -1: dynamic
  std::vector<std::string> symbols;  // one each dim: "batch" where dynamic and named, "" otherwise

  // "x f32[batch, 3, 32, 32]".
  std::string Describe() const;
};

struct SessionOptions {
  int threads = 0;  // 0: the CPUs this process may use
  Precision precision = Precision::kF32;
  // Replace initializers that the model lists among its inputs too (their defaults).
  std::map<std::string, Tensor> initializers = {};
  // Initializers that the model lists among its inputs too, which are to be inputs: see DefaultOf.
  std::vector<std::string> open_inputs = {};
};

// Immutable once loaded; Run is safe from many threads at once.
class Session {
 public:
  // Throws Error: kNotFound or kIo from the file, kCorrupt for a damaged one, kInvalidInput where
  // the model contradicts itself, kUnsupported with all ops that Ingot does not have.
  static std::unique_ptr<Session> Load(const std::string& path, const SessionOptions& options = {});
  // The bytes are copied. Without a folder, external data are refused.
  static std::unique_ptr<Session> FromBytes(std::span<const std::byte> bytes,
                                            const std::string& folder_of_external_data = "",
                                            const SessionOptions& options = {});
  ~Session();

  const std::vector<PortInfo>& inputs() const;
  const std::vector<PortInfo>& outputs() const;
  // What the model says of itself: its metadata, and "producer" where that is named.
  const std::map<std::string, std::string>& metadata() const;

  // Inputs in the order of inputs(), outputs in the order of outputs(); all of them tensors. Throws
  // Error(kInvalidInput) that lists what the model wants where the inputs are others.
  // `alone`: on the calling thread, for runs so short that waking others takes longer.
  std::vector<Tensor> Run(std::span<const Tensor> inputs, bool alone = false) const;
  // Into tensors of the right types and shapes; allocates nothing once inputs of these shapes came.
  void RunInto(std::span<const Tensor> inputs, std::span<Tensor> outputs) const;
  // The same with sequences and optionals among them.
  std::vector<Datum> RunValues(std::span<const Datum> inputs) const;

  // Whether SessionOptions::initializers may hold this name.
  bool IsReplaceable(const std::string& initializer) const;
  // What the model has for an input that SessionOptions::open_inputs names; null for others.
  const Tensor* DefaultOf(const std::string& input) const;
  // What runs the model, for reports.
  const Executor& executor() const;

  // "x f32[batch, 3, 32, 32]; mask i64[batch]": what the model wants.
  std::string DescribeInputs() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace ingot::infer
