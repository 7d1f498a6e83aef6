// Errors and tensors at the boundary.
#include "ingot/capi/boundary.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "ingot/base/error.h"

namespace ingot::capi {
namespace {

// A fixed place, so that keeping a message cannot fail.
struct LastError {
  char text[2048] = "";
};

LastError& OfThisThread() {
  static thread_local LastError error;
  return error;
}

// The members that version 1 has; a caller cannot have fewer.
constexpr size_t kTensorSize = sizeof(ingot_tensor);

}  // namespace

ingot_status Fail(ingot_status status, const char* message) noexcept {
  LastError& error = OfThisThread();
  const size_t length = std::min(std::strlen(message), sizeof(error.text) - 1);
  std::memcpy(error.text, message, length);
  error.text[length] = '\0';
  return status;
}

ingot_status FailFromException() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return Fail(ExitStatus(error.code()) == 2 ? INGOT_WRONG_INPUT : INGOT_FAILED, error.what());
  } catch (const std::bad_alloc&) {
    return Fail(INGOT_FAILED, "out of memory");
  } catch (const std::exception& error) {
    return Fail(INGOT_FAILED, error.what());
  } catch (...) {
    return Fail(INGOT_FAILED, "an unknown exception");
  }
}

void RequirePointer(const void* pointer, const char* name) {
  if (pointer == nullptr) throw Error(ErrorCode::kInvalidInput, std::string(name) + " is NULL");
}

Tensor ToTensor(const ingot_tensor& tensor, const std::string& name) {
  if (tensor.struct_size < kTensorSize) {
    throw Error(ErrorCode::kInvalidInput,
                name + " has struct_size " + std::to_string(tensor.struct_size) + ", expected " +
                    std::to_string(kTensorSize),
                "set struct_size to sizeof(ingot_tensor)");
  }
  const auto dtype = static_cast<DType>(tensor.dtype);
  if (tensor.dtype <= 0 || tensor.dtype > 255 || ItemSize(dtype) == 0 || dtype == DType::kString) {
    throw Error(ErrorCode::kInvalidInput, name + " has element type " +
                                              std::to_string(tensor.dtype) +
                                              ", expected one of ingot_dtype");
  }
  if (tensor.rank < 0 || tensor.rank > 64 || (tensor.rank > 0 && tensor.dims == nullptr)) {
    throw Error(ErrorCode::kInvalidInput, name + " has rank " + std::to_string(tensor.rank) +
                                              " and " +
                                              (tensor.dims == nullptr ? "no dims" : "dims"));
  }
  const Shape shape(std::vector<int64_t>(tensor.dims, tensor.dims + tensor.rank));
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.size()), ItemSize(dtype), &bytes)) {
    throw Error(ErrorCode::kInvalidInput, name + " of shape " + shape.ToString() + " is too large");
  }
  if (tensor.data_size != bytes || (bytes > 0 && tensor.data == nullptr)) {
    throw Error(ErrorCode::kInvalidInput, name + " of shape " + shape.ToString() + " has " +
                                              std::to_string(tensor.data_size) +
                                              " bytes of data, expected " + std::to_string(bytes));
  }
  return Tensor(
      dtype, shape,
      std::shared_ptr<std::byte>(static_cast<std::byte*>(tensor.data), [](std::byte*) {}));
}

void Describe(const ingot_tensor& value, ingot_tensor* to) {
  RequirePointer(to, "tensor");
  if (to->struct_size < kTensorSize) {
    throw Error(ErrorCode::kInvalidInput,
                "struct_size is " + std::to_string(to->struct_size) + ", expected " +
                    std::to_string(kTensorSize),
                "set struct_size to sizeof(ingot_tensor) before the call");
  }
  const size_t size = to->struct_size;
  *to = value;
  to->struct_size = size;
}

}  // namespace ingot::capi

extern "C" {

int32_t ingot_c_api_version(void) {
  return INGOT_C_API_VERSION;
}

const char* ingot_last_error(void) {
  return ingot::capi::OfThisThread().text;
}

}  // extern "C"
