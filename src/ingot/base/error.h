// The one exception type of Ingot, and the assertion for programmer errors.
//
// A message names the thing, the value seen and what was expected; the hint says what to do.
// The code decides the exit status of the program: what was given is wrong (2) or the work failed
// (1).
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace ingot {

enum class ErrorCode {
  kInvalidInput,  // a job file, data, model or argument is wrong            -> exit status 2
  kNotFound,      // a file, key or name that was asked for does not exist  -> exit status 2
  kCorrupt,       // a file is damaged: truncated, wrong checksum            -> exit status 2
  kUnsupported,   // valid, but this build or device cannot do it            -> exit status 2
  kIo,            // reading or writing failed: full disk, permissions       -> exit status 1
  kOutOfMemory,   // an allocation failed                                    -> exit status 1
  kNumeric,       // NaN or infinity where a finite value is needed          -> exit status 1
  kInterrupted,   // Ctrl-C or SIGTERM                                       -> exit status 130
  kInternal,      // a defect of Ingot itself                                -> exit status 1
};

// Immutable and copyable; what() is the message followed by the hint.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message, std::string hint = "");

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  const char* what() const noexcept override { return what_.c_str(); }

  // The same error with "context: " before its message (the file, layer or key it happened in).
  Error In(std::string_view context) const;

 private:
  ErrorCode code_;
  std::string message_;
  std::string hint_;
  std::string what_;
};

// "invalid input", "not found", ...
std::string_view ErrorCodeName(ErrorCode code);

// The exit status of a program that ends with this error.
int ExitStatus(ErrorCode code);

// Prints the failed condition and the message to stderr and aborts: a defect of the program.
[[noreturn]] void AssertionFailed(const char* condition, const char* file, int line,
                                  const std::string& message);

}  // namespace ingot

// Programmer errors only. Always on: none of them stands in an inner loop.
#define INGOT_ASSERT(condition, message) \
  (static_cast<bool>(condition)          \
       ? static_cast<void>(0)            \
       : ::ingot::AssertionFailed(#condition, __FILE__, __LINE__, (message)))
