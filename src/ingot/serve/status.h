// Status: how a request to the server ended, and what that is in HTTP and in gRPC.
//
// Errors travel as values here, since most of them cross threads; ingot::Error is thrown while
// something is read or loaded, and becomes a Status where the request is answered.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "ingot/base/error.h"

namespace ingot::serve {

enum class StatusCode {
  kOk,
  kInvalidArgument,
  kNotFound,
  kUnavailable,
  kUnsupported,
  kInternal,
  kCancelled,
  kDeadlineExceeded,
  kUnauthenticated,
  kPermissionDenied,
  kTooLarge,
  kTooManyRequests,
  kMethodNotAllowed,
};

struct Status {
  StatusCode code = StatusCode::kOk;
  std::string message;
  int retry_after_seconds = 0;  // 0: says nothing of when to try again

  bool ok() const { return code == StatusCode::kOk; }
};

[[noreturn]] inline void ThrowInvalid(std::string message) {
  throw Error(ErrorCode::kInvalidInput, std::move(message));
}

inline Status Invalid(std::string message) {
  return {StatusCode::kInvalidArgument, std::move(message)};
}
inline Status NotFound(std::string message) {
  return {StatusCode::kNotFound, std::move(message)};
}
inline Status Unavailable(std::string message, int retry_after_seconds = 1) {
  return {StatusCode::kUnavailable, std::move(message), retry_after_seconds};
}
inline Status Unsupported(std::string message) {
  return {StatusCode::kUnsupported, std::move(message)};
}

inline int HttpStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 200;
    case StatusCode::kInvalidArgument:
      return 400;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kUnavailable:
      return 503;
    case StatusCode::kUnsupported:
      return 501;
    case StatusCode::kInternal:
      return 500;
    case StatusCode::kCancelled:
      return 499;
    case StatusCode::kDeadlineExceeded:
      return 504;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kTooLarge:
      return 413;
    case StatusCode::kTooManyRequests:
      return 429;
    case StatusCode::kMethodNotAllowed:
      return 405;
  }
  return 500;
}

inline int GrpcStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 0;
    case StatusCode::kCancelled:
      return 1;
    case StatusCode::kInvalidArgument:
      return 3;
    case StatusCode::kDeadlineExceeded:
      return 4;
    case StatusCode::kNotFound:
      return 5;
    case StatusCode::kPermissionDenied:
      return 7;
    case StatusCode::kTooLarge:
    case StatusCode::kTooManyRequests:
      return 8;
    case StatusCode::kUnsupported:
    case StatusCode::kMethodNotAllowed:
      return 12;
    case StatusCode::kInternal:
      return 13;
    case StatusCode::kUnavailable:
      return 14;
    case StatusCode::kUnauthenticated:
      return 16;
  }
  return 13;
}

inline Status StatusOf(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidInput:
    case ErrorCode::kCorrupt:
      return {StatusCode::kInvalidArgument, error.what()};
    case ErrorCode::kNotFound:
      return {StatusCode::kNotFound, error.what()};
    case ErrorCode::kUnsupported:
      return {StatusCode::kUnsupported, error.what()};
    case ErrorCode::kInterrupted:
      return {StatusCode::kUnavailable, error.what()};
    case ErrorCode::kOutOfMemory:
      return {StatusCode::kUnavailable, error.what(), 1};
    default:
      return {StatusCode::kInternal, error.what()};
  }
}

// What was thrown, as a status; call it in a catch (...) block.
inline Status CurrentStatus() {
  try {
    throw;
  } catch (const Error& error) {
    return StatusOf(error);
  } catch (const std::bad_alloc&) {
    return Unavailable("the server is out of memory");
  } catch (const std::exception& error) {
    return {StatusCode::kInternal, error.what()};
  }
}

}  // namespace ingot::serve
