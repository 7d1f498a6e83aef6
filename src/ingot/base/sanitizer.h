// Whether this is compiled with the address or the thread sanitizer, which bring operators new and
// delete of their own and keep what is freed for a while.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INGOT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INGOT_SANITIZED 1
#endif
#endif
#ifndef INGOT_SANITIZED
#define INGOT_SANITIZED 0
#endif
