// What is chosen by value: TopK, Hardmax, NonZero, Unique, NonMaxSuppression.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <string>

#include "ingot/base/error.h"
#include "ingot/ops/axis_split.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::Attributes;
using ir::Builder;
using ir::Dimension;
using ir::Dimensions;
using ir::GradientContext;
using ir::Type;
using ir::Value;

// ---- TopK ----

std::vector<Type> TopKRule(const RuleInputs& in) {
  const Type& x = in.type(0);
  if (!x.has_rank()) {
    return {Type::TensorOfUnknownRank(x.dtype()), Type::TensorOfUnknownRank(DType::kI64)};
  }
  const int axis = NormalizeAxis(in.node.GetInt("axis"), x.rank());
  Dimensions dims = x.dims();
  Dimension& extent = dims[static_cast<size_t>(axis)];
  const std::optional<std::vector<int64_t>> k = in.ints(1);
  if (k && (k->size() != 1 || k->at(0) < 0 || (extent.is_static() && k->at(0) > extent.value()))) {
    throw Error(ErrorCode::kInvalidInput, "k is " + Shape(*k).ToString() +
                                              ", expected one number up to the extent of axis " +
                                              std::to_string(axis) + " of " + x.ToString());
  }
  extent = k ? Dimension(k->at(0)) : Dimension();
  return {Type::Tensor(x.dtype(), dims), Type::Tensor(DType::kI64, dims)};
}

void TopKReference(const ir::ReferenceCall& call) {
  const AxisSplit split(call.input(0).dims, call.node.GetInt("axis"));
  const bool largest = call.node.GetInt("largest") != 0;
  const auto k =
      static_cast<size_t>(AxisSplit(call.output().dims, call.node.GetInt("axis")).extent);
  DispatchNumeric("TopK", call.input(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = call.input(0).as<T>();
    std::vector<int64_t> order(static_cast<size_t>(split.extent));
    for (int64_t o = 0; o < split.outer; ++o) {
      for (int64_t i = 0; i < split.inner; ++i) {
        const T* column = x + o * split.extent * split.inner + i;
        std::iota(order.begin(), order.end(), 0);
        // Of equal elements the first comes first.
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
          const auto u = static_cast<Compute<T>>(column[a * split.inner]);
          const auto v = static_cast<Compute<T>>(column[b * split.inner]);
          return largest ? u > v : u < v;
        });
        for (size_t j = 0; j < k; ++j) {
          const int64_t to =
              (o * static_cast<int64_t>(k) + static_cast<int64_t>(j)) * split.inner + i;
          call.output(0).as<T>()[to] = column[order[j] * split.inner];
          call.output(1).as<int64_t>()[to] = order[j];
        }
      }
    }
  });
}

void RegisterTopK(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "TopK";
  op.since_version = 24;
  op.summary = "The k largest (or smallest) elements along an axis, in order, and their indices.";
  op.inputs = {Required("X"), Required("K", "I")};
  op.outputs = {Required("Values"), Required("Indices", "I")};
  op.attributes = {IntAttribute("axis", -1), IntAttribute("largest", 1), IntAttribute("sorted", 1)};
  op.reference = TopKReference;
  op.gradient = [](GradientContext& context) {
    if (!context.wants(0) || context.output_gradient(0) == nullptr) return;
    Builder& b = context.builder();
    Value* x = context.input(0);
    context.SetInputGradient(0, b.Op("ScatterElements",
                                     {b.ExpandLike(b.ScalarLike(x, 0), x), context.output(1),
                                      context.output_gradient(0)},
                                     {{"axis", Attribute(context.node().GetInt("axis"))}}));
  };
  SetShapeRule(op, TopKRule);
  const auto make = [](const char* name, std::vector<OpCase::Input> inputs,
                       std::vector<double> values, std::vector<double> indices,
                       Attributes attributes = {}) {
    OpCase test = ExpectedCase(name, std::move(inputs), std::move(values), std::move(attributes));
    test.outputs = 2;
    test.expected.push_back(std::move(indices));
    return test;
  };
  const OpCase::Input x = Floats({2, 4}, {1, 4, 3, 2, 8, 5, 7, 6});
  op.cases = {make("largest", {x, ConstantInts({2})}, {4, 3, 8, 7}, {1, 2, 0, 2}),
              make("smallest", {x, ConstantInts({1})}, {1, 5}, {0, 1},
                   {{"largest", Attribute(int64_t{0})}}),
              make("rows", {x, Integers({1}, {1})}, {8, 5, 7, 6}, {1, 1, 1, 1},
                   {{"axis", Attribute(int64_t{0})}})};
  OpCase ties = make("ties", {Floats({3}, {2, 2, 2}), ConstantInts({2})}, {2, 2}, {0, 1});
  ties.gradient = false;
  op.cases.push_back(std::move(ties));
  registry.Add(std::move(op));
}

// ---- Hardmax ----

void RegisterHardmax(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Hardmax";
  op.since_version = 13;
  op.summary = "1 at the first largest element along an axis, 0 elsewhere.";
  op.inputs = {Required("input")};
  op.outputs = {Required("output")};
  op.attributes = {IntAttribute("axis", -1)};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kFloat);
    context.SetOutput(0, context.input(0));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const AxisSplit split(call.input(0).dims, call.node.GetInt("axis"));
    DispatchFloat("Hardmax", call.input(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t o = 0; o < split.outer; ++o) {
        for (int64_t i = 0; i < split.inner; ++i) {
          const int64_t base = o * split.extent * split.inner + i;
          int64_t best = 0;
          for (int64_t e = 0; e < split.extent; ++e) {
            const T* x = call.input(0).as<T>() + base;
            if (static_cast<double>(x[e * split.inner]) >
                static_cast<double>(x[best * split.inner])) {
              best = e;
            }
          }
          for (int64_t e = 0; e < split.extent; ++e) {
            call.output().as<T>()[base + e * split.inner] = T(e == best ? 1.0F : 0.0F);
          }
        }
      }
    });
  };
  op.gradient = ZeroGradient();
  const OpCase::Input x = Floats({2, 3}, {3, 0, 1, 2, 5, 4});
  op.cases = {ExpectedCase("last", {x}, {1, 0, 0, 0, 1, 0}),
              ExpectedCase("first", {x}, {1, 0, 0, 0, 1, 1}, {{"axis", Attribute(int64_t{0})}}),
              ExpectedOnly("ties", {Floats({3}, {1, 2, 2})}, {0, 1, 0})};
  registry.Add(std::move(op));
}

// ---- NonZero ----

void RegisterNonZero(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "NonZero";
  op.since_version = 13;
  op.summary = "The indices of the elements that are not zero, one row for each axis.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y", "I")};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kAll);
    const Type& x = context.input(0);
    // A scalar counts as a vector of one element.
    const Dimension rank = x.has_rank() ? Dimension(x.rank()) : Dimension();
    context.SetOutput(0, Type::Tensor(DType::kI64, {rank, Dimension()}));
  };
  op.dynamic_reference = [](const ir::Node&, std::span<const Tensor> inputs) {
    const std::vector<double> values = inputs[0].ToDoubles();
    const std::vector<int64_t> strides = Strides(inputs[0].shape().dims());
    std::vector<int64_t> found;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] != 0) found.push_back(static_cast<int64_t>(i));
    }
    Tensor out(DType::kI64, {inputs[0].shape().rank(), static_cast<int64_t>(found.size())});
    int64_t* to = out.data<int64_t>().data();
    for (size_t axis = 0; axis < strides.size(); ++axis) {
      const int64_t extent = inputs[0].shape()[static_cast<int>(axis)];
      for (const int64_t at : found) *to++ = at / strides[axis] % extent;
    }
    return std::vector<Tensor>{out};
  };
  op.cases = {ExpectedOnly("matrix", {Floats({2, 2}, {1, 0, 1, 2})}, {0, 1, 1, 0, 0, 1}),
              ExpectedOnly("bool", {Integers({3}, {0, 1, 1}, DType::kBool)}, {1, 2}),
              ExpectedOnly("none", {Floats({2}, {0, 0})}, {})};
  registry.Add(std::move(op));
}

// ---- Unique ----

// Slices along the axis (elements where there is none) as lists of doubles, which order them.
std::vector<Tensor> UniqueReference(const ir::Node& node, std::span<const Tensor> inputs) {
  const Tensor& x = inputs[0];
  const bool has_axis = node.HasAttribute("axis");
  const std::vector<int64_t> flat = {x.size()};
  std::vector<int64_t> dims = has_axis ? x.shape().dims() : flat;
  const auto axis =
      static_cast<size_t>(has_axis ? NormalizeAxis(node.GetInt("axis"), x.shape().rank()) : 0);
  const AxisSplit split(dims, static_cast<int64_t>(axis));
  const std::vector<double> values = x.ToDoubles();
  std::vector<std::vector<double>> slices(static_cast<size_t>(split.extent));
  for (int64_t o = 0; o < split.outer; ++o) {
    for (int64_t e = 0; e < split.extent; ++e) {
      for (int64_t i = 0; i < split.inner; ++i) {
        slices[static_cast<size_t>(e)].push_back(
            values[static_cast<size_t>((o * split.extent + e) * split.inner + i)]);
      }
    }
  }
  // The first place of each distinct slice, its number in the output and how often it is there.
  std::map<std::vector<double>, std::vector<int64_t>> groups;
  std::vector<const std::vector<double>*> order;
  for (size_t e = 0; e < slices.size(); ++e) {
    auto& group = groups[slices[e]];
    if (group.empty()) order.push_back(&groups.find(slices[e])->first);
    group.push_back(static_cast<int64_t>(e));
  }
  if (node.GetInt("sorted") != 0) {
    order.clear();
    for (const auto& group : groups) order.push_back(&group.first);
  }
  const auto count = static_cast<int64_t>(order.size());
  Tensor first(DType::kI64, {count}), inverse(DType::kI64, {split.extent}), counts = first.Clone();
  for (size_t n = 0; n < order.size(); ++n) {
    const std::vector<int64_t>& places = groups.at(*order[n]);
    first.data<int64_t>()[n] = places[0];
    counts.data<int64_t>()[n] = static_cast<int64_t>(places.size());
    for (const int64_t place : places) {
      inverse.data<int64_t>()[static_cast<size_t>(place)] = static_cast<int64_t>(n);
    }
  }
  dims[axis] = count;
  Tensor y(x.dtype(), Shape(dims));
  const size_t line = static_cast<size_t>(split.inner) * ItemSize(x.dtype());
  std::byte* to = y.raw();
  for (int64_t o = 0; line > 0 && o < split.outer; ++o) {
    for (const int64_t place : first.data<int64_t>()) {
      std::memcpy(to, x.raw() + static_cast<size_t>(o * split.extent + place) * line, line);
      to += line;
    }
  }
  std::vector<Tensor> outputs = {y, first, inverse, counts};
  outputs.resize(node.outputs().size());
  return outputs;
}

void RegisterUnique(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "Unique";
  op.since_version = 11;
  op.summary = "The distinct elements (or slices), where each is first, which each is, how often.";
  op.inputs = {Required("X")};
  op.outputs = {Required("Y"), Optional("indices", "I"), Optional("inverse_indices", "I"),
                Optional("counts", "I")};
  op.attributes = {OptionalAttribute("axis", ir::AttributeKind::kInt), IntAttribute("sorted", 1)};
  op.infer = [](ir::InferContext& context) {
    RequireType(context, 0, Types::kAll);
    const Type& x = context.input(0);
    Type y = x;
    if (!context.node().HasAttribute("axis")) {
      y = Type::Tensor(x.dtype(), UnknownDimensions(1));
    } else if (x.has_rank()) {
      Dimensions dims = x.dims();
      dims[static_cast<size_t>(NormalizeAxis(context.node().GetInt("axis"), x.rank()))] = {};
      y = Type::Tensor(x.dtype(), std::move(dims));
    }
    context.SetOutput(0, y);
    for (size_t i = 1; i < context.node().outputs().size(); ++i) {
      context.SetOutput(i, Type::Tensor(DType::kI64, UnknownDimensions(1)));
    }
  };
  op.dynamic_reference = UniqueReference;
  const auto make = [](const char* name, OpCase::Input x, std::vector<std::vector<double>> expected,
                       Attributes attributes) {
    OpCase test;
    test.name = name;
    test.inputs = {std::move(x)};
    test.attributes = std::move(attributes);
    test.outputs = expected.size();
    test.expected = std::move(expected);
    test.gradient = false;
    return test;
  };
  const OpCase::Input x = Floats({6}, {2, 1, 1, 3, 4, 3});
  op.cases = {make("sorted", x, {{1, 2, 3, 4}, {1, 0, 3, 4}, {1, 0, 0, 2, 3, 2}, {2, 1, 2, 1}}, {}),
              make("unsorted", x, {{2, 1, 3, 4}, {0, 1, 3, 4}, {0, 1, 1, 2, 3, 2}, {1, 2, 2, 1}},
                   {{"sorted", Attribute(int64_t{0})}}),
              make("rows", Floats({3, 2}, {1, 0, 1, 0, 2, 3}), {{1, 0, 2, 3}, {0, 2}},
                   {{"axis", Attribute(int64_t{0})}})};
  registry.Add(std::move(op));
}

// ---- NonMaxSuppression ----

struct Box {
  double y1, x1, y2, x2;

  static Box Of(const double* v, bool center) {
    if (center) {  // x center, y center, width, height
      return {v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
    }
    return {std::min(v[0], v[2]), std::min(v[1], v[3]), std::max(v[0], v[2]), std::max(v[1], v[3])};
  }
  double Area() const { return (y2 - y1) * (x2 - x1); }
  // Intersection over union; 0 where either is empty.
  double Overlap(const Box& o) const {
    const double height = std::min(y2, o.y2) - std::max(y1, o.y1);
    const double width = std::min(x2, o.x2) - std::max(x1, o.x1);
    if (height <= 0 || width <= 0 || Area() <= 0 || o.Area() <= 0) return 0;
    return height * width / (Area() + o.Area() - height * width);
  }
};

std::vector<Tensor> NmsReference(const ir::Node& node, std::span<const Tensor> inputs) {
  const auto number = [&](size_t i, double otherwise) {
    return i < inputs.size() && !inputs[i].empty() && inputs[i].size() > 0
               ? inputs[i].ToDoubles().at(0)
               : otherwise;
  };
  const std::vector<double> boxes = inputs[0].ToDoubles(), scores = inputs[1].ToDoubles();
  const int64_t batches = inputs[0].shape().dim(0), count = inputs[0].shape().dim(1);
  const int64_t classes = inputs[1].shape().dim(1);
  const double most = number(2, 0), overlap = number(3, 0);
  const double lowest = number(4, -INFINITY);
  const bool center = node.GetInt("center_point_box") != 0;
  std::vector<int64_t> selected;
  for (int64_t n = 0; n < batches; ++n) {
    for (int64_t c = 0; c < classes; ++c) {
      const double* score = scores.data() + (n * classes + c) * count;
      std::vector<int64_t> order(static_cast<size_t>(count));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t a, int64_t b) { return score[a] > score[b]; });
      std::vector<Box> kept;
      for (const int64_t i : order) {
        if (static_cast<double>(kept.size()) >= most || !(score[i] > lowest)) break;
        const Box box = Box::Of(boxes.data() + (n * count + i) * 4, center);
        const bool hidden = std::any_of(kept.begin(), kept.end(), [&](const Box& other) {
          return box.Overlap(other) > overlap;
        });
        if (hidden) continue;
        kept.push_back(box);
        selected.insert(selected.end(), {n, c, i});
      }
    }
  }
  return {Tensor::Of<int64_t>({static_cast<int64_t>(selected.size()) / 3, 3},
                              std::span<const int64_t>(selected))};
}

void RegisterNonMaxSuppression(ir::OpRegistry& registry) {
  ir::OpDefinition op;
  op.name = "NonMaxSuppression";
  op.since_version = 11;
  op.summary =
      "The best boxes of each class that do not overlap a better one: [batch, class, box].";
  op.inputs = {Required("boxes", "F"), Required("scores", "F"),
               Optional("max_output_boxes_per_class", "I"), Optional("iou_threshold", "F"),
               Optional("score_threshold", "F")};
  op.outputs = {Required("selected_indices", "I")};
  op.attributes = {IntAttribute("center_point_box", 0)};
  op.infer = [](ir::InferContext& context) {
    const Type& boxes = context.input(0);
    const Type& scores = context.input(1);
    const bool fits =
        (!boxes.has_rank() || boxes.rank() == 3) && (!scores.has_rank() || scores.rank() == 3);
    if (!fits || (boxes.has_rank() && boxes.dim(2).is_static() && boxes.dim(2).value() != 4)) {
      throw Error(ErrorCode::kInvalidInput, "boxes " + boxes.ToString() + " and scores " +
                                                scores.ToString() +
                                                ", expected [batch, boxes, 4] and [batch, "
                                                "classes, boxes]");
    }
    if (boxes.has_rank() && scores.has_rank()) {
      Merge(boxes.dim(0), scores.dim(0), "batches of boxes and scores");
      Merge(boxes.dim(1), scores.dim(2), "numbers of boxes and scores");
    }
    context.SetOutput(0, Type::Tensor(DType::kI64, {Dimension(), Dimension(3)}));
  };
  op.dynamic_reference = NmsReference;
  const OpCase::Input boxes = Floats({1, 3, 4}, {0, 0, 1, 1, 0, 0.125, 1, 1.125, 0, 10, 1, 11});
  const OpCase::Input scores = Floats({1, 1, 3}, {0.5, 0.75, 0.25});
  op.cases = {
      ExpectedOnly("suppressed", {boxes, scores, Integers({1}, {3}), Floats({1}, {0.5})},
                   {0, 0, 1, 0, 0, 2}),
      ExpectedOnly("one", {boxes, scores, Integers({1}, {1}), Floats({1}, {0.5})}, {0, 0, 1}),
      ExpectedOnly("score",
                   {boxes, scores, Integers({1}, {3}), Floats({1}, {0.5}), Floats({1}, {0.3125})},
                   {0, 0, 1}),
      ExpectedOnly("none", {boxes, scores}, {})};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterSelection(ir::OpRegistry& registry) {
  RegisterTopK(registry);
  RegisterHardmax(registry);
  RegisterNonZero(registry);
  RegisterUnique(registry);
  RegisterNonMaxSuppression(registry);
}

}  // namespace ingot::ops
