// Models through the C interface.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <ingot/c_api.h>

#include "ingot/base/error.h"
#include "ingot/capi/boundary.h"
#include "ingot/infer/session.h"

// What the handles are.
struct ingot_session {
  std::unique_ptr<ingot::infer::Session> session;
};

struct ingot_outputs {
  std::vector<ingot::Tensor> tensors;
};

namespace ingot::capi {
namespace {

infer::SessionOptions OptionsFrom(const ingot_session_options* options) {
  infer::SessionOptions result;
  if (options == nullptr) return result;
  if (options->struct_size < sizeof(ingot_session_options)) {
    throw Error(ErrorCode::kInvalidInput,
                "struct_size of the options is " + std::to_string(options->struct_size) +
                    ", expected " + std::to_string(sizeof(ingot_session_options)),
                "set struct_size to sizeof(ingot_session_options)");
  }
  if (options->threads < 0) {
    throw Error(ErrorCode::kInvalidInput,
                "threads is " + std::to_string(options->threads) + ", expected 0 or more");
  }
  result.threads = options->threads;
  if (options->precision == INGOT_PRECISION_BF16) {
    result.precision = infer::Precision::kBf16;
  } else if (options->precision != INGOT_PRECISION_F32) {
    throw Error(ErrorCode::kInvalidInput, "precision is " + std::to_string(options->precision) +
                                              ", expected one of ingot_precision");
  }
  return result;
}

void DescribePort(const std::vector<infer::PortInfo>& ports, size_t index, ingot_tensor* to) {
  if (index >= ports.size()) {
    throw Error(ErrorCode::kInvalidInput, "there is no port " + std::to_string(index) +
                                              ", the model has " + std::to_string(ports.size()));
  }
  const infer::PortInfo& port = ports[index];
  ingot_tensor value{};
  value.dtype = static_cast<int32_t>(port.dtype);
  value.rank = static_cast<int32_t>(port.dims.size());
  value.dims = port.dims.data();
  Describe(value, to);
}

const char* NameOf(const std::vector<infer::PortInfo>& ports, size_t index) {
  return index < ports.size() ? ports[index].name.c_str() : nullptr;
}

std::vector<Tensor> Tensors(const ingot_tensor* tensors, size_t count, const char* what) {
  if (count > 0) RequirePointer(tensors, what);
  std::vector<Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    result.push_back(ToTensor(tensors[i], std::string(what) + " " + std::to_string(i)));
  }
  return result;
}

}  // namespace
}  // namespace ingot::capi

using ingot::capi::Guarded;
using ingot::capi::RequirePointer;

extern "C" {

ingot_status ingot_session_load(const char* path, const ingot_session_options* options,
                                ingot_session** session) {
  return Guarded([&] {
    RequirePointer(path, "path");
    RequirePointer(session, "session");
    *session = nullptr;
    auto made = std::make_unique<ingot_session>();
    made->session = ingot::infer::Session::Load(path, ingot::capi::OptionsFrom(options));
    *session = made.release();
  });
}

void ingot_session_free(ingot_session* session) {
  const std::unique_ptr<ingot_session> owned(session);
}

size_t ingot_session_input_count(const ingot_session* session) {
  return session == nullptr ? 0 : session->session->inputs().size();
}

size_t ingot_session_output_count(const ingot_session* session) {
  return session == nullptr ? 0 : session->session->outputs().size();
}

const char* ingot_session_input_name(const ingot_session* session, size_t index) {
  return session == nullptr ? nullptr : ingot::capi::NameOf(session->session->inputs(), index);
}

const char* ingot_session_output_name(const ingot_session* session, size_t index) {
  return session == nullptr ? nullptr : ingot::capi::NameOf(session->session->outputs(), index);
}

ingot_status ingot_session_input(const ingot_session* session, size_t index, ingot_tensor* port) {
  return Guarded([&] {
    RequirePointer(session, "session");
    ingot::capi::DescribePort(session->session->inputs(), index, port);
  });
}

ingot_status ingot_session_output(const ingot_session* session, size_t index, ingot_tensor* port) {
  return Guarded([&] {
    RequirePointer(session, "session");
    ingot::capi::DescribePort(session->session->outputs(), index, port);
  });
}

ingot_status ingot_session_run(const ingot_session* session, const ingot_tensor* inputs,
                               size_t input_count, ingot_outputs** outputs) {
  return Guarded([&] {
    RequirePointer(session, "session");
    RequirePointer(outputs, "outputs");
    *outputs = nullptr;
    const std::vector<ingot::Tensor> given = ingot::capi::Tensors(inputs, input_count, "input");
    auto made = std::make_unique<ingot_outputs>();
    made->tensors = session->session->Run(given);
    *outputs = made.release();
  });
}

ingot_status ingot_session_run_into(const ingot_session* session, const ingot_tensor* inputs,
                                    size_t input_count, const ingot_tensor* outputs,
                                    size_t output_count) {
  return Guarded([&] {
    RequirePointer(session, "session");
    const std::vector<ingot::Tensor> given = ingot::capi::Tensors(inputs, input_count, "input");
    std::vector<ingot::Tensor> wanted = ingot::capi::Tensors(outputs, output_count, "output");
    session->session->RunInto(given, wanted);
  });
}

size_t ingot_outputs_count(const ingot_outputs* outputs) {
  return outputs == nullptr ? 0 : outputs->tensors.size();
}

ingot_status ingot_outputs_get(const ingot_outputs* outputs, size_t index, ingot_tensor* tensor) {
  return Guarded([&] {
    RequirePointer(outputs, "outputs");
    if (index >= outputs->tensors.size()) {
      throw ingot::Error(ingot::ErrorCode::kInvalidInput,
                         "there is no output " + std::to_string(index) + " of " +
                             std::to_string(outputs->tensors.size()));
    }
    const ingot::Tensor& output = outputs->tensors[index];
    if (output.dtype() == ingot::DType::kString) {
      throw ingot::Error(ingot::ErrorCode::kUnsupported,
                         "output " + std::to_string(index) +
                             " has strings, which are no element type of ingot_dtype");
    }
    ingot_tensor value{};
    value.dtype = static_cast<int32_t>(output.dtype());
    value.rank = output.shape().rank();
    value.dims = output.shape().dims().data();
    value.data = const_cast<std::byte*>(output.raw());
    value.data_size = output.bytes();
    ingot::capi::Describe(value, tensor);
  });
}

void ingot_outputs_free(ingot_outputs* outputs) {
  const std::unique_ptr<ingot_outputs> owned(outputs);
}

}  // extern "C"
