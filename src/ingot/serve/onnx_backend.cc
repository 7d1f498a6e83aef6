// infer::Session as a Backend.
#include "ingot/serve/onnx_backend.h"

#include <filesystem>

#include "ingot/infer/session.h"
#include "ingot/serve/data_type.h"
#include "ingot/tensor/string_ref.h"

namespace ingot::serve {
namespace {

class OnnxBackend : public Backend {
 public:
  OnnxBackend(std::unique_ptr<infer::Session> session, uint64_t memory)
      : session_(std::move(session)), memory_(memory) {
    for (const infer::PortInfo& port : session_->inputs()) {
      Port& made = inputs_.emplace_back(PortOf(port, "input"));
      const Tensor* fallback = session_->DefaultOf(port.name);
      if (fallback != nullptr) made.fallback = std::make_shared<const Value>(ValueOf(*fallback));
    }
    for (const infer::PortInfo& port : session_->outputs()) {
      outputs_.push_back(PortOf(port, "output"));
    }
  }

  const std::vector<Port>& inputs() const override { return inputs_; }
  const std::vector<Port>& outputs() const override { return outputs_; }
  uint64_t memory() const override { return memory_; }

  std::vector<Value> Run(std::span<const Value> inputs, bool alone) const override {
    std::vector<Tensor> tensors;
    tensors.reserve(inputs.size());
    for (const Value& value : inputs) tensors.push_back(TensorOf(value));
    std::vector<Value> values;
    for (Tensor& tensor : session_->Run(tensors, alone))
      values.push_back(ValueOf(std::move(tensor)));
    return values;
  }

 private:
  static Port PortOf(const infer::PortInfo& info, const char* kind) {
    const std::string what = std::string(kind) + " '" + info.name + "' ";
    if (info.kind != infer::PortInfo::Kind::kTensor) {
      throw Error(ErrorCode::kUnsupported,
                  what + "is no tensor: the protocol carries tensors alone");
    }
    if (WireName(info.dtype).empty()) {
      throw Error(ErrorCode::kUnsupported, what + "is of type " + std::string(Name(info.dtype)) +
                                               ", which the protocol cannot carry");
    }
    return {info.name, info.dtype, info.dims, info.symbols, nullptr};
  }

  static Tensor TensorOf(const Value& value) {
    const Shape shape{std::span<const int64_t>(value.dims)};
    if (value.dtype != DType::kString) {
      // The bytes stay where they are; the caller keeps them until Run returns.
      return Tensor(value.dtype, shape,
                    std::shared_ptr<std::byte>(const_cast<std::byte*>(value.bytes.data()),
                                               [](std::byte*) {}));
    }
    const std::vector<std::string_view> elements = SplitBytesElements(value.bytes, shape.size());
    return Tensor::OfStrings(shape, {elements.begin(), elements.end()});
  }

  static Value ValueOf(Tensor tensor) {
    Value value;
    value.dtype = tensor.dtype();
    value.dims = tensor.shape().dims();
    if (tensor.dtype() == DType::kString) {
      const auto bytes = std::make_shared<std::string>();
      for (const StringRef& text : std::as_const(tensor).data<StringRef>()) {
        AppendBytesElement(text.view(), *bytes);
      }
      value.bytes = std::as_bytes(std::span<const char>(bytes->data(), bytes->size()));
      value.owner = bytes;
      return value;
    }
    const auto owner = std::make_shared<Tensor>(std::move(tensor));
    value.bytes = {std::as_const(*owner).raw(), owner->bytes()};
    value.owner = owner;
    return value;
  }

  const std::unique_ptr<infer::Session> session_;
  const uint64_t memory_;
  std::vector<Port> inputs_, outputs_;
};

// What the model's files take; the session's own buffers come on top.
uint64_t BytesOfFiles(const ModelSource& source) {
  if (!source.contents.empty()) return source.contents.size();
  std::error_code error;
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(source.path).parent_path(), error)) {
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  }
  return bytes;
}

}  // namespace

std::shared_ptr<const Backend> LoadOnnxBackend(const ModelSource& source) {
  infer::SessionOptions options;
  options.threads = source.threads;
  options.open_inputs = source.optional_inputs;
  const auto precision = source.parameters.find("precision");
  if (precision != source.parameters.end()) {
    options.precision = infer::ParsePrecision(precision->second);
  }
  std::unique_ptr<infer::Session> session;
  if (source.contents.empty()) {
    session = infer::Session::Load(source.path, options);
  } else {
    const std::span<const char> bytes(source.contents.data(), source.contents.size());
    session = infer::Session::FromBytes(std::as_bytes(bytes), "", options);
  }
  return std::make_shared<OnnxBackend>(std::move(session), BytesOfFiles(source));
}

}  // namespace ingot::serve
