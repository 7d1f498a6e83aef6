// The metrics and their options.
#include "ingot/nn/metric.h"

#include <numbers>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/nn/loss.h"

namespace ingot::nn {

namespace {

struct NoOptions {};

struct TopKOptions {
  int64_t k = 5;
};

const OptionTable<NoOptions>& AccuracyTable() {
  static const OptionTable<NoOptions> table("accuracy", "share of samples whose class is right");
  return table;
}

const OptionTable<TopKOptions>& TopKTable() {
  static const auto table =
      OptionTable<TopKOptions>("top_k", "share of samples whose class is among the k best")
          .Add("k", &TopKOptions::k, "how many", AtLeast(1))
          .Shorthand("k");
  return table;
}

const OptionTable<NoOptions>& PerplexityTable() {
  static const OptionTable<NoOptions> table("perplexity", "exp of the mean softmax cross-entropy");
  return table;
}

const OptionTable<NoOptions>& BitsPerByteTable() {
  static const OptionTable<NoOptions> table(
      "bits_per_byte", "mean softmax cross-entropy in bits, where a label is a byte");
  return table;
}

const OptionTable<NoOptions>& MaeMetricTable() {
  static const OptionTable<NoOptions> table("mae", "mean absolute error");
  return table;
}

const OptionTable<NoOptions>& RmseTable() {
  static const OptionTable<NoOptions> table("rmse", "root of the mean squared error");
  return table;
}

ir::Value* ToClassNumbers(ir::Builder& builder, ir::Value* x) {
  return builder.Op("Cast", {x}, {{"to", static_cast<int64_t>(DType::kI64)}});
}

// Scores [batch, C] and class numbers [batch] of whatever forms output and target have.
ir::Value* Hits(ir::Builder& builder, const std::string& what, int64_t k, ir::Value* output,
                ir::Value* target) {
  if (AreSequences(output, target)) {
    const Positions all = AllPositions(builder, output, target);
    ir::Value* hits = builder.Op("ingot.TopKHits", {all.scores, all.labels}, {{"k", k}});
    return MeanOfPositions(builder, hits, target);
  }
  const ir::Type& scores = output->type();
  const ir::Type& labels = target->type();
  const bool column = labels.rank() == 2 && labels.dim(1) == ir::Dimension(1);
  const bool one_score = scores.rank() == 2 && scores.dim(1) == ir::Dimension(1);
  if (scores.rank() != 2 || (labels.rank() != 1 && !column &&
                             (labels.rank() != 2 || !(labels.dim(1) == scores.dim(1))))) {
    throw Error(ErrorCode::kInvalidInput,
                what +
                    " takes scores [batch, classes] and class numbers or one-hot labels, but the "
                    "output is " +
                    ir::ToString(scores.dims()) + " and the target 'y' is " +
                    ir::ToString(labels.dims()));
  }
  if (one_score) {  // the logit of class 1 against 0
    output = builder.Op("Concat", {builder.Neg(output), output}, {{"axis", int64_t{1}}});
  }
  if (labels.rank() == 2 && !column) {
    target = builder.Op("ArgMax", {target}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});
  } else {
    if (column) target = builder.Op("Reshape", {target, builder.Ints({-1})});
    if (!IsInteger(target->type().dtype())) target = ToClassNumbers(builder, target);
  }
  return builder.Op("ingot.TopKHits", {output, target}, {{"k", k}});
}

ir::Value* BuildAccuracy(const NoOptions&, ir::Builder& builder, ir::Value* output,
                         ir::Value* target) {
  return Hits(builder, "accuracy", 1, output, target);
}

ir::Value* BuildTopK(const TopKOptions& options, ir::Builder& builder, ir::Value* output,
                     ir::Value* target) {
  return Hits(builder, "top_k", options.k, output, target);
}

ir::Value* BuildPerplexity(const NoOptions&, ir::Builder& builder, ir::Value* output,
                           ir::Value* target) {
  return SoftmaxCrossEntropy(builder, "perplexity", output, target, 0);
}

ir::Value* BuildBitsPerByte(const NoOptions&, ir::Builder& builder, ir::Value* output,
                            ir::Value* target) {
  ir::Value* nats = SoftmaxCrossEntropy(builder, "bits_per_byte", output, target, 0);
  return builder.MulScalar(nats, 1 / std::numbers::ln2);
}

ir::Value* BuildMaeMetric(const NoOptions&, ir::Builder& builder, ir::Value* output,
                          ir::Value* target) {
  return builder.Op("ingot.AbsoluteError", {output, MatchTarget(builder, "mae", output, target)});
}

ir::Value* BuildRmse(const NoOptions&, ir::Builder& builder, ir::Value* output, ir::Value* target) {
  return builder.Op("ingot.SquaredError", {output, MatchTarget(builder, "rmse", output, target)});
}

struct MetricKind {
  std::string name;
  std::string summary;
  std::function<std::vector<OptionHelp>()> help;
  std::function<Metric(const ConfigNode&)> read;
};

std::string NameOf(const std::string& kind, const NoOptions&) {
  return kind;
}
std::string NameOf(const std::string&, const TopKOptions& options) {
  return "top_" + std::to_string(options.k);
}

template <typename Options>
MetricKind MakeMetricKind(const OptionTable<Options>& table,
                          ir::Value* (*build)(const Options&, ir::Builder&, ir::Value*,
                                              ir::Value*)) {
  MetricKind kind;
  kind.name = table.name();
  kind.summary = table.summary();
  kind.help = [&table] { return table.Help(table.name()); };
  kind.read = [&table, build](const ConfigNode& node) {
    const Options options = table.Read(node);
    Metric metric;
    metric.name = NameOf(table.name(), options);
    metric.resolved = ConfigNode::Map({{table.name(), table.Write(options)}});
    metric.build = [options, build](ir::Builder& builder, ir::Value* output, ir::Value* target) {
      return build(options, builder, output, target);
    };
    return metric;
  };
  return kind;
}

const std::vector<MetricKind>& MetricKinds() {
  static const std::vector<MetricKind> kinds = {
      MakeMetricKind(AccuracyTable(), BuildAccuracy),
      MakeMetricKind(TopKTable(), BuildTopK),
      MakeMetricKind(PerplexityTable(), BuildPerplexity),
      MakeMetricKind(BitsPerByteTable(), BuildBitsPerByte),
      MakeMetricKind(MaeMetricTable(), BuildMaeMetric),
      MakeMetricKind(RmseTable(), BuildRmse),
  };
  return kinds;
}

Metric ReadMetric(const ConfigNode& node) {
  const NamedNode named = ReadNamed(node, "a metric");
  for (const MetricKind& kind : MetricKinds()) {
    if (kind.name == named.name) return kind.read(named.options);
  }
  FailUnknownName(node, "metric", named.name, MetricNames());
}

}  // namespace

std::vector<std::string> MetricNames() {
  std::vector<std::string> names;
  for (const MetricKind& kind : MetricKinds()) names.push_back(kind.name);
  return names;
}

std::vector<OptionHelp> MetricHelp() {
  std::vector<OptionHelp> rows;
  for (const MetricKind& kind : MetricKinds()) {
    rows.push_back({kind.name, "metric", "", kind.summary});
    for (OptionHelp& row : kind.help()) rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Metric> ReadMetrics(const ConfigNode& list) {
  std::vector<Metric> metrics;
  if (list.is_null()) return metrics;
  if (!list.is_list()) list.Fail("expected a list of metrics", "write [accuracy]");
  for (const ConfigNode& item : list.items()) {
    Metric metric = ReadMetric(item);
    for (const Metric& other : metrics) {
      if (other.name == metric.name) item.Fail("metric '" + metric.name + "' is there twice");
    }
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

}  // namespace ingot::nn
