// Counting blocks and padding to them.
#pragma once

#include <type_traits>

namespace ingot::cpu {

// a / b, rounded up: how many blocks of b cover a.
template <class A, class B>
constexpr std::common_type_t<A, B> CeilDiv(A a, B b) {
  return (a + b - 1) / b;
}

// The next multiple of b that is not below a.
template <class A, class B>
constexpr std::common_type_t<A, B> RoundUp(A a, B b) {
  return CeilDiv(a, b) * b;
}

}  // namespace ingot::cpu
