// The rate of products: see gemm_peak.h.
#include "backends/cpu/gemm_peak.h"

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <thread>
#include <vector>

#include "backends/cpu/blocked_matmul.h"
#include "ingot/base/clock.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

struct ProductShape {
  size_t m, n, k;
};

// Products of network layers that stay in the second cache; which is fastest depends on the CPU.
constexpr ProductShape kShapes[] = {{96, 256, 384}, {192, 256, 384}, {384, 512, 384}};
constexpr int kRepetitions = 5;
constexpr double kFlopsOfARepetition = 1e8;  // of each thread: a millisecond or two

// One thread's matrices for the largest of the shapes.
class Product {
 public:
  Product() {
    size_t a = 0, b = 0, c = 0, scratch = 0;
    for (const ProductShape& shape : kShapes) {
      a = std::max(a, shape.m * shape.k);
      b = std::max(b, shape.k * shape.n);
      c = std::max(c, shape.m * shape.n);
      scratch = std::max(scratch, BlockedMatMulScratchFloats(shape.m, shape.n, shape.k));
    }
    const auto floats = [](size_t count) {
      Tensor tensor(DType::kF32, Shape{static_cast<int64_t>(count)});
      std::fill(tensor.data<float>().begin(), tensor.data<float>().end(), 0.5F);
      return tensor;
    };
    a_ = floats(a);
    b_ = floats(b);
    c_ = floats(c);
    scratch_ = floats(scratch + 16);
  }

  void Run(const ProductShape& shape, int times) {
    MatMulArguments arguments;
    arguments.a = a_.data<float>().data();
    arguments.a_row_stride = shape.k;
    arguments.b = b_.data<float>().data();
    arguments.b_stride = shape.n;
    arguments.c = c_.data<float>().data();
    arguments.c_stride = shape.n;
    arguments.m = shape.m;
    arguments.n = shape.n;
    arguments.k = shape.k;
    arguments.scratch = scratch_.data<float>().data();
    for (int i = 0; i < times; ++i) BlockedMatMul(arguments);
  }

 private:
  Tensor a_, b_, c_, scratch_;
};

}  // namespace

double MeasureGemmPeak(int threads) {
  std::barrier barrier(threads);
  double best = 0;  // written by the first thread alone
  int64_t begun = 0;
  const auto work = [&](bool is_first) {
    Product product;
    for (const ProductShape& shape : kShapes) {
      const double flops = 2.0 * static_cast<double>(shape.m * shape.n * shape.k);
      const int times = std::max(1, static_cast<int>(kFlopsOfARepetition / flops));
      product.Run(shape, 1);
      for (int i = 0; i < kRepetitions; ++i) {
        barrier.arrive_and_wait();
        if (is_first) begun = MonotonicNanoseconds();
        product.Run(shape, times);
        barrier.arrive_and_wait();
        if (!is_first) continue;
        const auto nanoseconds = static_cast<double>(MonotonicNanoseconds() - begun);
        best = std::max(best, flops * times * threads / std::max(nanoseconds, 1.0));
      }
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work, false);
  work(true);
  return best;
}

}  // namespace ingot::cpu
