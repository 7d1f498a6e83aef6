// Recurrent ops over sequences of different lengths give what each sequence gives alone.
#include <cmath>

#include <gtest/gtest.h>

#include "ingot/onnx/test_model.h"
#include "ingot/ops/definition.h"

namespace ingot::onnx {
namespace {

constexpr int64_t kSteps = 4, kInputs = 2, kHidden = 3;

// Numbers without a pattern.
Tensor Numbers(const Shape& shape, double seed) {
  std::vector<float> values;
  for (int64_t i = 0; i < shape.size(); ++i) {
    values.push_back(static_cast<float>(std::sin(seed + 1.7 * static_cast<double>(i))));
  }
  return Tensor::Of<float>(shape, values);
}

struct Layer {
  std::string op, direction;
  int64_t gates() const { return op == "LSTM" ? 4 : op == "GRU" ? 3 : 1; }
  int64_t directions() const { return direction == "bidirectional" ? 2 : 1; }
  size_t states() const { return op == "LSTM" ? 2 : 1; }
};

// Y and the last states of x [T, B, C] from given first states [D, B, H].
std::vector<Tensor> RunLayer(const Layer& layer, const Tensor& x, const Tensor& first,
                             const std::vector<int32_t>* lengths) {
  const int64_t rows = layer.gates() * kHidden, d = layer.directions();
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"t", "b", std::to_string(kInputs)})
                        .Initializer("w", Numbers({d, rows, kInputs}, 1))
                        .Initializer("r", Numbers({d, rows, kHidden}, 2))
                        .Initializer("bias", Numbers({d, 2 * rows}, 3))
                        .Initializer("first", first)
                        .Output("y")
                        .Output("h");
  if (lengths != nullptr) {
    graph.Initializer("lengths",
                      Tensor::Of<int32_t>({static_cast<int64_t>(lengths->size())}, *lengths));
  }
  Names inputs = {"x", "w", "r", "bias", lengths == nullptr ? "" : "lengths", "first"};
  Names outputs = {"y", "h"};
  if (layer.states() == 2) {
    inputs.push_back("first");
    outputs.push_back("c");
    graph.Output("c");
  }
  auto& node = graph.Node(layer.op, inputs, outputs);
  SetInt(node, "hidden_size", kHidden);
  SetText(node, "direction", layer.direction);
  const ImportedModel imported = model.Import();
  const std::vector<Datum> data = {x};
  std::vector<Tensor> results;
  for (const Datum& datum : ops::InterpretValues(*imported.graph, data)) {
    results.push_back(datum.tensor());
  }
  return results;
}

void CheckLayer(const Layer& layer) {
  SCOPED_TRACE(layer.op + " " + layer.direction);
  const std::vector<int32_t> lengths = {4, 1, 3, 0};
  const auto batch = static_cast<int64_t>(lengths.size());
  const Tensor x = Numbers({kSteps, batch, kInputs}, 4);
  const int64_t d = layer.directions();
  const Tensor first = Numbers({d, batch, kHidden}, 5);
  const std::vector<Tensor> together = RunLayer(layer, x, first, &lengths);
  ASSERT_EQ(together.size(), 1 + layer.states());
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = lengths[static_cast<size_t>(b)];
    std::vector<float> own, own_first;
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t i = 0; i < kInputs; ++i) {
        own.push_back(x.data<float>()[static_cast<size_t>((t * batch + b) * kInputs + i)]);
      }
    }
    for (int64_t k = 0; k < d * kHidden; ++k) {
      const int64_t at = (k / kHidden * batch + b) * kHidden + k % kHidden;
      own_first.push_back(first.data<float>()[static_cast<size_t>(at)]);
    }
    const std::vector<Tensor> alone =
        RunLayer(layer, Tensor::Of<float>({length, 1, kInputs}, own),
                 Tensor::Of<float>({d, 1, kHidden}, own_first), nullptr);
    for (int64_t k = 0; k < kSteps * d * kHidden; ++k) {
      const int64_t step = k / (d * kHidden), direction = k / kHidden % d, j = k % kHidden;
      const float expected = step < length ? alone[0].data<float>()[static_cast<size_t>(k)] : 0.0F;
      const int64_t at = ((step * d + direction) * batch + b) * kHidden + j;
      EXPECT_NEAR(together[0].data<float>()[static_cast<size_t>(at)], expected, 1e-6) << b;
    }
    for (size_t state = 1; state < together.size(); ++state) {
      for (int64_t k = 0; k < d * kHidden; ++k) {
        const int64_t at = (k / kHidden * batch + b) * kHidden + k % kHidden;
        EXPECT_NEAR(together[state].data<float>()[static_cast<size_t>(at)],
                    alone[state].data<float>()[static_cast<size_t>(k)], 1e-6)
            << b << ", state " << state;
      }
    }
  }
}

TEST(SequenceLengthsTest, EachSequenceIsAsItIsAlone) {
  for (const char* op : {"LSTM", "GRU", "RNN"}) {
    for (const char* direction : {"forward", "reverse", "bidirectional"}) {
      CheckLayer({op, direction});
    }
  }
}

TEST(SequenceLengthsTest, ALayoutThatIsNotReadSaysSo) {
  TestModel model;
  TestGraph graph = model.graph()
                        .Input("x", DType::kF32, {"1", "2", "2"})
                        .Initializer("w", Numbers({1, 3, 2}, 1))
                        .Initializer("r", Numbers({1, 3, 3}, 2))
                        .Initializer("lengths", Tensor::Of<int32_t>({1}, {1}))
                        .Output("y");
  auto& node = graph.Node("RNN", {"x", "w", "r", "", "lengths"}, {"y"});
  SetInt(node, "hidden_size", 3);
  SetInt(node, "layout", 1);
  try {
    model.Import();
    FAIL() << "it was read";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("sequence_lens"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace ingot::onnx
