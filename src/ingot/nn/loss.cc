// The losses and their options.
#include "ingot/nn/loss.h"

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"

namespace ingot::nn {

namespace {

struct CrossEntropyOptions {
  double label_smoothing = 0;
};

const OptionTable<CrossEntropyOptions>& CrossEntropyTable() {
  static const auto table =
      OptionTable<CrossEntropyOptions>(
          "softmax_cross_entropy", "one class out of several, from class numbers or one-hot labels")
          .Add("label_smoothing", &CrossEntropyOptions::label_smoothing,
               "share of the label's weight that is spread over all classes", Between(0, 1));
  return table;
}

struct HuberOptions {
  double delta = 1;
};

const OptionTable<HuberOptions>& HuberTable() {
  static const auto table =
      OptionTable<HuberOptions>("huber", "squared near 0, linear beyond delta")
          .Add("delta", &HuberOptions::delta, "where it becomes linear", MoreThan(0))
          .Shorthand("delta");
  return table;
}

struct PlainOptions {};

const OptionTable<PlainOptions>& MseTable() {
  static const OptionTable<PlainOptions> table("mse", "mean squared error");
  return table;
}

const OptionTable<PlainOptions>& MaeTable() {
  static const OptionTable<PlainOptions> table("mae", "mean absolute error");
  return table;
}

const OptionTable<PlainOptions>& BinaryCrossEntropyTable() {
  static const OptionTable<PlainOptions> table("binary_cross_entropy",
                                               "yes or no for each output, from logits");
  return table;
}

ir::Value* BuildCrossEntropy(const CrossEntropyOptions& options, ir::Builder& builder,
                             ir::Value* output, ir::Value* target) {
  return SoftmaxCrossEntropy(builder, "softmax_cross_entropy", output, target,
                             options.label_smoothing);
}

ir::Value* BuildHuber(const HuberOptions& options, ir::Builder& builder, ir::Value* output,
                      ir::Value* target) {
  return builder.Op("ingot.Huber", {output, MatchTarget(builder, "huber", output, target)},
                    {{"delta", options.delta}});
}

ir::Value* BuildMse(const PlainOptions&, ir::Builder& builder, ir::Value* output,
                    ir::Value* target) {
  return builder.Op("ingot.SquaredError", {output, MatchTarget(builder, "mse", output, target)});
}

ir::Value* BuildMae(const PlainOptions&, ir::Builder& builder, ir::Value* output,
                    ir::Value* target) {
  return builder.Op("ingot.AbsoluteError", {output, MatchTarget(builder, "mae", output, target)});
}

ir::Value* BuildBinaryCrossEntropy(const PlainOptions&, ir::Builder& builder, ir::Value* output,
                                   ir::Value* target) {
  return builder.Op("ingot.BinaryCrossEntropy",
                    {output, MatchTarget(builder, "binary_cross_entropy", output, target)});
}

struct LossKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  std::function<Loss(const ConfigNode&)> read;
};

template <typename Options>
LossKind MakeLossKind(const OptionTable<Options>& table, std::string absorbs, bool classification,
                      ir::Value* (*build)(const Options&, ir::Builder&, ir::Value*, ir::Value*)) {
  LossKind kind;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.help = [&table] { return table.Help(table.name()); };
  kind.read = [&table, absorbs, classification, build](const ConfigNode& node) {
    const Options options = table.Read(node);
    Loss loss;
    loss.name = table.name();
    loss.resolved = ConfigNode::Map({{table.name(), table.Write(options)}});
    loss.absorbs = absorbs;
    loss.classification = classification;
    loss.build = [options, build](ir::Builder& builder, ir::Value* output, ir::Value* target) {
      return build(options, builder, output, target);
    };
    return loss;
  };
  return kind;
}

const std::vector<LossKind>& LossKinds() {
  static const std::vector<LossKind> kinds = {
      MakeLossKind(CrossEntropyTable(), "Softmax", true, BuildCrossEntropy),
      MakeLossKind(BinaryCrossEntropyTable(), "Sigmoid", true, BuildBinaryCrossEntropy),
      MakeLossKind(MseTable(), "", false, BuildMse),
      MakeLossKind(MaeTable(), "", false, BuildMae),
      MakeLossKind(HuberTable(), "", false, BuildHuber),
  };
  return kinds;
}

}  // namespace

std::vector<std::string> LossNames() {
  std::vector<std::string> names;
  for (const LossKind& kind : LossKinds()) names.push_back(kind.name);
  return names;
}

std::vector<OptionHelp> LossHelp() {
  std::vector<OptionHelp> rows;
  for (const LossKind& kind : LossKinds()) {
    rows.push_back({kind.name, "loss", "", kind.summary});
    for (OptionHelp& row : kind.help()) rows.push_back(std::move(row));
  }
  return rows;
}

Loss ReadLoss(const ConfigNode& node) {
  const NamedNode named = ReadNamed(node, "a loss");
  for (const LossKind& kind : LossKinds()) {
    if (kind.name == named.name) return kind.read(named.options);
  }
  FailUnknownName(node, "loss", named.name, LossNames());
}

// Scores [batch, T, V] and labels [batch, T] as [batch * T, V] and [batch * T].
Positions AllPositions(ir::Builder& builder, ir::Value* scores, ir::Value* labels) {
  const int64_t classes = scores->type().dim(2).value();
  return {builder.Op("Reshape", {scores, builder.Ints({-1, classes})}),
          builder.Op("Reshape", {labels, builder.Ints({-1})})};
}

bool AreSequences(const ir::Value* scores, const ir::Value* labels) {
  const ir::Type& s = scores->type();
  const ir::Type& l = labels->type();
  return s.rank() == 3 && l.rank() == 2 && IsInteger(l.dtype()) && s.dim(1) == l.dim(1) &&
         s.dim(2).is_static();
}

ir::Value* MeanOfPositions(ir::Builder& builder, ir::Value* values, ir::Value* labels) {
  return builder.Op("ReduceMean", {builder.ReshapeLike(values, labels), builder.Ints({1})},
                    {{"keepdims", int64_t{0}}});
}

ir::Value* SoftmaxCrossEntropy(ir::Builder& builder, const std::string& what, ir::Value* output,
                               ir::Value* target, double label_smoothing) {
  const ir::Attributes attributes = {{"label_smoothing", label_smoothing}};
  const ir::Type& logits = output->type();
  if (AreSequences(output, target)) {
    const Positions all = AllPositions(builder, output, target);
    ir::Value* losses =
        builder.Ops("ingot.SoftmaxCrossEntropy", {all.scores, all.labels}, 2, attributes)[0];
    return MeanOfPositions(builder, losses, target);
  }
  const bool numbers = IsInteger(target->type().dtype());
  if (logits.rank() != 2 && !(logits.rank() == 3 && numbers)) {
    throw Error(ErrorCode::kInvalidInput, what +
                                              " takes an output [batch, classes], or [batch, "
                                              "length, classes] for sequences, got " +
                                              ir::ToString(logits.dims()));
  }
  const bool column = target->type().rank() == 2 && target->type().dim(1) == ir::Dimension(1);
  if (logits.rank() == 2 && numbers && column) {
    target = builder.Op("Reshape", {target, builder.Ints({-1})});
  } else if (logits.rank() == 3 ||
             (numbers ? target->type().rank() != 1
                      : target->type().rank() != 2 || !(target->type().dim(1) == logits.dim(1)))) {
    const std::string wanted =
        logits.rank() == 3
            ? "class numbers [batch, " + logits.dim(1).ToString() + "]"
            : "class numbers [batch] or probabilities " + ir::ToString(logits.dims());
    throw Error(ErrorCode::kInvalidInput,
                what + " takes " + wanted + " for an output " + ir::ToString(logits.dims()) +
                    ", but the labels are " + target->type().ToString(),
                IsFloat(target->type().dtype()) && column ? "for a CSV file set label_type: class"
                : logits.rank() == 3 ? "put '- flatten' before the last dense layer"
                                     : "");
  }
  if (!numbers && target->type().dtype() != logits.dtype()) {
    target = builder.Op("Cast", {target}, {{"to", static_cast<int64_t>(logits.dtype())}});
  }
  return builder.Ops("ingot.SoftmaxCrossEntropy", {output, target}, 2, attributes)[0];
}

ir::Value* MatchTarget(ir::Builder& builder, const std::string& what, ir::Value* output,
                       ir::Value* target) {
  const ir::Dimensions& want = output->type().dims();
  ir::Dimensions have = target->type().dims();
  if (target->type().dtype() != output->type().dtype()) {
    target = builder.Op("Cast", {target}, {{"to", static_cast<int64_t>(output->type().dtype())}});
  }
  if (have == want) return target;
  ir::Dimensions column = have;
  column.emplace_back(int64_t{1});
  if (column != want) {
    throw Error(ErrorCode::kInvalidInput, what + " compares elements, but the output is " +
                                              ir::ToString(want) + " and the target 'y' is " +
                                              ir::ToString(have));
  }
  return builder.ReshapeLike(target, output);
}

}  // namespace ingot::nn
