// Requests and answers of the inference protocol, as a client has them.
#include "ingot/server/client_request.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/base/text.h"
#include "ingot/formats/npy.h"
#include "ingot/formats/unicode.h"
#include "ingot/serve/data_type.h"
#include "ingot/tensor/string_ref.h"

namespace ingot::server {
namespace {

using OrderedJson = nlohmann::ordered_json;

[[noreturn]] void WrongInput(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::kInvalidInput, "--input " + name + ": " + what);
}

// JSON has neither type.
bool IsHalf(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBf16;
}

std::map<std::string, std::string> ValuesByName(const std::vector<std::string>& values) {
  std::map<std::string, std::string> given;
  for (const std::string& value : values) {
    const size_t equals = value.find('=');
    if (equals == std::string::npos) {
      throw Error(ErrorCode::kInvalidInput,
                  "--input '" + value + "': expected NAME=FILE.npy or NAME=JSON");
    }
    given[value.substr(0, equals)] = value.substr(equals + 1);
  }
  return given;
}

std::string RawBytes(const Tensor& tensor) {
  return std::string(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
}

std::string BytesOfFile(const std::string& name, const std::string& file, DType dtype,
                        std::vector<int64_t>& shape) {
  const Tensor tensor = formats::ReadNpy(file);
  shape = tensor.shape().dims();
  if ((tensor.dtype() == DType::kString) != (dtype == DType::kString)) {
    WrongInput(name, "'" + file + "' holds " + tensor.Describe() + ", the model takes " +
                         std::string(serve::WireName(dtype)));
  }
  if (dtype != DType::kString) {
    formats::RequireRealNumbers(tensor, "'" + file + "'");
    return RawBytes(tensor.Cast(dtype));
  }
  std::string bytes;
  for (const StringRef& text : tensor.data<StringRef>()) {
    serve::AppendBytesElement(text.view(), bytes);
  }
  return bytes;
}

void AppendNumbers(const std::string& name, const OrderedJson& data, std::vector<double>& out) {
  if (data.is_array()) {
    for (const OrderedJson& one : data) AppendNumbers(name, one, out);
  } else if (data.is_number()) {
    out.push_back(data.get<double>());
  } else {
    WrongInput(name, "expected numbers, got " + data.dump());
  }
}

std::string BytesOfNumbers(const std::string& name, const OrderedJson& data, DType dtype) {
  std::vector<double> numbers;
  AppendNumbers(name, data, numbers);
  const Shape shape{static_cast<int64_t>(numbers.size())};
  return RawBytes(Tensor::Of<double>(shape, std::span<const double>(numbers)).Cast(dtype));
}

std::string Zeros(DType dtype, const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t d : shape) count *= d;
  if (dtype != DType::kString) {
    return std::string(static_cast<size_t>(count) * ItemSize(dtype), '\0');
  }
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) serve::AppendBytesElement("", bytes);
  return bytes;
}

// The input of a request; its bytes go to `binary` where it has no "data". `given` null: zeros.
OrderedJson MakeInput(const OrderedJson& port, const std::string* given, int64_t batch,
                      std::string& binary) {
  const std::string name = port["name"], datatype = port["datatype"];
  const DType dtype = serve::ParseWireType(datatype);
  std::vector<int64_t> shape = port["shape"];
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) shape[i] = i == 0 ? batch : 1;
  }
  OrderedJson input = {{"name", name}, {"shape", shape}, {"datatype", datatype}};
  std::string bytes;
  if (given != nullptr && given->ends_with(".npy")) {
    bytes = BytesOfFile(name, *given, dtype, shape);
  } else if (given != nullptr) {
    const OrderedJson data = OrderedJson::parse(*given, nullptr, false);
    if (!data.is_array()) WrongInput(name, "expected a JSON array");
    std::vector<int64_t> dims;
    for (const OrderedJson* at = &data; at->is_array(); at = &(*at)[0]) {
      dims.push_back(static_cast<int64_t>(at->size()));
      if (at->empty()) break;
    }
    if (dims.size() == shape.size()) shape = dims;
    if (IsHalf(dtype)) {
      bytes = BytesOfNumbers(name, data, dtype);
    } else {
      input["data"] = data;
    }
  } else {
    bytes = Zeros(dtype, shape);
  }
  input["shape"] = shape;
  if (!input.contains("data")) {
    input["parameters"] = {{"binary_data_size", bytes.size()}};
    binary += bytes;
  }
  return input;
}

// Asks for the outputs in the form that is wanted.
void AskForOutputs(const OrderedJson& model, AnswerForm form, bool binary, OrderedJson& head) {
  const OrderedJson ports = model.value("outputs", OrderedJson::array());
  const bool halves = std::any_of(ports.begin(), ports.end(), [](const OrderedJson& port) {
    return IsHalf(serve::ParseWireType(port["datatype"].get<std::string>()));
  });
  if (form == AnswerForm::kExact || (form == AnswerForm::kFast && (binary || halves))) {
    head["parameters"] = {{"binary_data_output", true}};
  } else if (halves) {
    OrderedJson outputs = OrderedJson::array();
    for (const OrderedJson& port : ports) {
      const bool half = IsHalf(serve::ParseWireType(port["datatype"].get<std::string>()));
      OrderedJson output = {{"name", port["name"]}, {"parameters", {{"binary_data", half}}}};
      outputs.push_back(std::move(output));
    }
    head["outputs"] = std::move(outputs);
  }
}

[[noreturn]] void WrongAnswer(const std::string& what) {
  throw Error(ErrorCode::kInvalidInput, "the server's answer cannot be read: " + what);
}

Tensor TensorOf(const std::string& name, DType dtype, const std::vector<int64_t>& dims,
                std::string_view bytes) {
  uint64_t size = 0;
  if (!formats::StoredBytes(dtype == DType::kString ? DType::kU8 : dtype, dims, &size)) {
    WrongAnswer("output '" + name + "' has shape " + serve::ShapeText(dims));
  }
  const Shape shape(dims);
  if (dtype == DType::kString) {
    const auto elements =
        serve::SplitBytesElements(std::as_bytes(std::span<const char>(bytes.data(), bytes.size())),
                                  static_cast<int64_t>(size));
    return Tensor::OfStrings(shape, {elements.begin(), elements.end()});
  }
  if (size != bytes.size()) {
    WrongAnswer("output '" + name + "' of shape " + serve::ShapeText(dims) + " has " +
                std::to_string(bytes.size()) + " bytes, expected " + std::to_string(size));
  }
  Tensor tensor(dtype, shape);
  std::memcpy(tensor.raw(), bytes.data(), bytes.size());
  return tensor;
}

// Takes the output's bytes from the front of `binary`.
Tensor TakeTensor(const OrderedJson& output, std::string_view& binary) {
  const std::string name = output.at("name");
  const DType dtype = serve::ParseWireType(output.at("datatype").get<std::string>());
  const uint64_t size = output.at("parameters").at("binary_data_size").get<uint64_t>();
  if (dtype == DType::kUndefined || size > binary.size()) {
    WrongAnswer("output '" + name + "' is " + output.dump());
  }
  const std::string_view bytes = binary.substr(0, static_cast<size_t>(size));
  binary.remove_prefix(bytes.size());
  return TensorOf(name, dtype, output.at("shape").get<std::vector<int64_t>>(), bytes);
}

void RequireUtf8(const formats::NamedTensor& tensor) {
  for (const StringRef& element : tensor.tensor.data<StringRef>()) {
    const std::string_view text = element.view();
    for (size_t at = 0; at < text.size();) {
      const formats::Character character = formats::ReadUtf8(text, at);
      if (!character.valid) {
        throw Error(ErrorCode::kInvalidInput, "output '" + tensor.name +
                                                  "' holds bytes that are no UTF-8, which an npz "
                                                  "file cannot have as text");
      }
      at += character.bytes;
    }
  }
}

}  // namespace

ClientRequest MakeRequest(const std::string& model, const std::vector<std::string>& values,
                          int64_t batch, AnswerForm form) {
  const OrderedJson metadata = OrderedJson::parse(model);
  std::map<std::string, std::string> given = ValuesByName(values);
  OrderedJson inputs = OrderedJson::array();
  std::string binary;
  for (const OrderedJson& port : metadata.value("inputs", OrderedJson::array())) {
    const auto found = given.find(port["name"].get<std::string>());
    inputs.push_back(
        MakeInput(port, found == given.end() ? nullptr : &found->second, batch, binary));
    if (found != given.end()) given.erase(found);
  }
  if (!given.empty()) WrongInput(given.begin()->first, "the model has no such input");
  OrderedJson head = {{"inputs", std::move(inputs)}};
  AskForOutputs(metadata, form, !binary.empty(), head);
  ClientRequest request;
  const std::string json = head.dump();
  request.body = json + binary;
  if (!binary.empty()) {
    request.headers = {{"Content-Type", "application/octet-stream"},
                       {"Inference-Header-Content-Length", std::to_string(json.size())}};
  }
  return request;
}

ClientAnswer ReadAnswer(const serve::HttpAnswer& answer, AnswerForm form) {
  if (answer.status != 200) {
    throw Error(ErrorCode::kInvalidInput,
                "the server answers " + std::to_string(answer.status) + ": " + answer.body);
  }
  const std::string length = answer.Header("inference-header-content-length");
  const uint64_t whole = answer.body.size();
  const uint64_t json_bytes =
      length.empty() ? whole : ParseWhole<uint64_t>(length).value_or(whole + 1);
  if (json_bytes > whole) WrongAnswer("its head has '" + length + "' bytes");
  std::string_view binary = std::string_view(answer.body).substr(json_bytes);
  ClientAnswer result;
  try {
    OrderedJson json = OrderedJson::parse(answer.body.substr(0, json_bytes));
    for (OrderedJson& output : json.at("outputs")) {
      if (output.contains("data")) continue;
      Tensor tensor = TakeTensor(output, binary);
      if (form == AnswerForm::kReadable) {
        output.erase("parameters");
        output["data"] = tensor.ToDoubles();
      }
      result.tensors.push_back({output.at("name").get<std::string>(), std::move(tensor)});
    }
    result.json = json.dump(2);
  } catch (const nlohmann::json::exception& error) {
    WrongAnswer(error.what());
  }
  return result;
}

void WriteTensors(const std::vector<formats::NamedTensor>& tensors, const std::string& file) {
  std::vector<formats::NamedTensor> arrays;
  for (const formats::NamedTensor& one : tensors) {
    if (one.tensor.dtype() == DType::kString) RequireUtf8(one);
    const bool widen = one.tensor.dtype() == DType::kBf16;
    arrays.push_back({one.name, widen ? one.tensor.Cast(DType::kF32) : one.tensor});
  }
  std::vector<std::byte> bytes;
  formats::WriteNpz(arrays, formats::AppendTo(bytes));
  WriteFileAtomically(RealFileSystem(), file, formats::AsText(bytes));
}

}  // namespace ingot::server
