// The products of a dense network on one thread: GFLOP/s of dense and of mostly zero left sides.
#include <vector>

#include <benchmark/benchmark.h>

#include "backends/cpu/matmul.h"

namespace ingot::cpu {
namespace {

// Arguments: m, n, k, per cent of columns of the left side that are zero.
void BM_MatMul(benchmark::State& state) {
  const auto m = static_cast<size_t>(state.range(0));
  const auto n = static_cast<size_t>(state.range(1));
  const auto k = static_cast<size_t>(state.range(2));
  std::vector<float> a(m * k), b(k * n, 0.5f), c(m * n);
  for (size_t i = 0; i < m; ++i) {
    for (size_t p = 0; p < k; ++p) {
      a[i * k + p] = static_cast<int64_t>(p * 61 % 100) < state.range(3) ? 0.0f : 1.0f;
    }
  }
  std::vector<float> scratch(MatMulScratchFloats(n, k, false) + 16);
  MatMulArguments arguments;
  arguments.a = a.data();
  arguments.a_row_stride = k;
  arguments.b = b.data();
  arguments.b_stride = n;
  arguments.c = c.data();
  arguments.c_stride = n;
  arguments.m = m;
  arguments.n = n;
  arguments.k = k;
  arguments.scratch = scratch.data();
  for (auto _ : state) {
    MatMul(arguments);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(m * n * k),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_MatMul)
    ->Args({32, 64, 784, 0})
    ->Args({32, 64, 784, 60})
    ->Args({16, 64, 784, 0})
    ->Args({32, 10, 64, 0})
    ->Args({64, 256, 256, 0})
    ->Args({128, 1024, 1024, 0});

}  // namespace
}  // namespace ingot::cpu
