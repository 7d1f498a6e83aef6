// ErrorOf: the Error that a piece of code must throw, for tests.
#pragma once

#include <utility>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {

// A failed expectation and an empty Error where nothing is thrown.
template <typename F>
Error ErrorOf(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no Error was thrown";
  return Error(ErrorCode::kInternal, "");
}

}  // namespace ingot
