// What every function of the C interface does: exceptions become a status and a message.
#pragma once

#include <cstddef>
#include <string>

#include <ingot/c_api.h>

#include "ingot/tensor/tensor.h"

namespace ingot::capi {

// Keeps the message for ingot_last_error of this thread.
ingot_status Fail(ingot_status status, const char* message) noexcept;
// Of the exception at hand.
ingot_status FailFromException() noexcept;

template <typename Function>
ingot_status Guarded(const Function& function) noexcept {
  try {
    function();
    return INGOT_OK;
  } catch (...) {
    return FailFromException();
  }
}

// Throws Error(kInvalidInput) "NAME is NULL".
void RequirePointer(const void* pointer, const char* name);

// A view of the caller's memory, which must live as long as the tensor.
Tensor ToTensor(const ingot_tensor& tensor, const std::string& name);

// Writes as much of `value` as the caller's struct has room for: `to->struct_size` bytes.
void Describe(const ingot_tensor& value, ingot_tensor* to);

}  // namespace ingot::capi
