// ingot.Accumulate: gradients of several batches added up before one update, outside of the shards.
//
//   total = ingot.Accumulate(g, sum, continues)    g, or sum + g where `continues` is not 0
//
// `total` is both what the update takes and the next value of the state `sum`.
#include <algorithm>

#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"

namespace ingot::ops {

void RegisterAccumulation(ir::OpRegistry& registry);

void RegisterAccumulation(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Accumulate";
  op.domain = "ingot";
  op.summary = "The gradient, added to the sum so far where that goes on.";
  op.inputs = {Required("g"), Required("sum"), Required("continues", "S")};
  op.outputs = {Required("total")};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    double continues = 0;
    ConvertElements(call.input(2).data, call.input(2).dtype, &continues, DType::kF64, 1);
    DispatchFloat("ingot.Accumulate", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* g = call.input(0).as<T>();
      const T* sum = call.input(1).as<T>();
      T* total = call.output().as<T>();
      const int64_t size = call.output().size();
      if (continues == 0) {
        std::copy_n(g, size, total);
        return;
      }
      for (int64_t i = 0; i < size; ++i) total[i] = static_cast<T>(sum[i] + g[i]);
    });
  };
  const auto example = [](const char* name, double continues, std::vector<double> expected) {
    return OpCase{.name = name,
                  .inputs = {Floats({2}, {1, 2}), Floats({2}, {0.5, -4}), Floats({}, {continues})},
                  .expected = {std::move(expected)},
                  .gradient = false};
  };
  op.cases = {example("first", 0, {1, 2}), example("next", 1, {1.5, -2})};
  registry.Add(std::move(op));
}

}  // namespace ingot::ops
