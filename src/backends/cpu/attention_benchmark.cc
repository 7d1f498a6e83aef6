// Attention and its gradient: arithmetic of the blocks that are not all hidden, per second.
#include <vector>

#include <benchmark/benchmark.h>

#include "backends/cpu/attention.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cpu {
namespace {

ops::AttentionSizes Sizes(int64_t length, int64_t size, bool causal) {
  ops::AttentionSizes s;
  s.batch = 1;
  s.query_heads = s.key_heads = 6;
  s.query_length = s.key_length = length;
  s.head_size = s.value_size = size;
  s.query = s.key = s.value = s.output = {length * 6 * size, size, 6 * size};
  s.scale = 0.125;
  s.causal = causal;
  return s;
}

// Multiplications and additions of `products` products over the pairs that see one another.
double Flops(const ops::AttentionSizes& s, double products) {
  const auto n = static_cast<double>(s.query_length);
  const double pairs = s.causal ? n * (n + 1) / 2 : n * n;
  return products * 2 * pairs * static_cast<double>(s.head_size * s.query_heads);
}

void BM_Attention(benchmark::State& state) {
  const ops::AttentionSizes s = Sizes(state.range(0), state.range(1), state.range(2) != 0);
  const auto count = static_cast<size_t>(s.query.batch);
  std::vector<float> q(count, 0.5f), k(count, 0.25f), v(count, 1), y(count);
  Tensor scratch(DType::kF32, {static_cast<int64_t>(AttentionScratchFloats(s))});
  for (auto _ : state) {
    Attention(s, q.data(), k.data(), v.data(), {}, y.data(), nullptr, scratch.data<float>().data());
  }
  state.counters["flops"] =
      benchmark::Counter(Flops(s, 2), benchmark::Counter::kIsIterationInvariantRate);
}

void BM_AttentionGradient(benchmark::State& state) {
  const ops::AttentionSizes s = Sizes(state.range(0), state.range(1), state.range(2) != 0);
  const auto count = static_cast<size_t>(s.query.batch);
  std::vector<float> q(count, 0.5f), k(count, 0.25f), v(count, 1), y(count, 1), dy(count, 1);
  std::vector<float> log_sum(static_cast<size_t>(6 * s.query_length), 5), dq(count), dk(count),
      dv(count);
  Tensor scratch(DType::kF32, {static_cast<int64_t>(AttentionGradientScratchFloats(s))});
  for (auto _ : state) {
    AttentionGradient(s,
                      {.q = q.data(),
                       .k = k.data(),
                       .v = v.data(),
                       .y = y.data(),
                       .log_sum = log_sum.data(),
                       .dy = dy.data(),
                       .mask = {},
                       .dq = dq.data(),
                       .dk = dk.data(),
                       .dv = dv.data()},
                      scratch.data<float>().data());
  }
  state.counters["flops"] =
      benchmark::Counter(Flops(s, 5), benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(BM_Attention)->Args({256, 64, 0})->Args({256, 64, 1})->Args({2048, 64, 1});
BENCHMARK(BM_AttentionGradient)->Args({256, 64, 0})->Args({256, 64, 1})->Args({2048, 64, 1});

}  // namespace
}  // namespace ingot::cpu
