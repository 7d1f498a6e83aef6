// embed_columns: trained vectors in place of the categories at the end of a row of a table.
#include "ingot/nn/layers/embed_columns.h"

#include "ingot/base/error.h"
#include "ingot/ir/builder.h"
#include "ingot/nn/initializer.h"

namespace ingot::nn {

namespace {

struct EmbedColumnsOptions {
  int64_t columns = 1;
  int64_t width = 8;
  int64_t vocabulary = 1;
  ConfigNode initializer = ConfigNode::Scalar("normal");
};

const OptionTable<EmbedColumnsOptions>& Table() {
  static const auto table =
      OptionTable<EmbedColumnsOptions>("embed_columns",
                                       "a trained vector in place of each of the last columns, "
                                       "which hold numbers of categories: "
                                       "[batch, n] -> [batch, n - columns + columns * width]")
          .Add("columns", &EmbedColumnsOptions::columns, "how many hold categories", AtLeast(1))
          .Add("width", &EmbedColumnsOptions::width, "of a vector", AtLeast(1))
          .Add("vocabulary", &EmbedColumnsOptions::vocabulary,
               "categories of all these columns together, unknown ones included: numbers lie below",
               AtLeast(1))
          .AddNode("initializer", &EmbedColumnsOptions::initializer,
                   "first values of the table [vocabulary, width]: an initializer")
          .Required("vocabulary");
  return table;
}

std::string Describe(const EmbedColumnsOptions& options) {
  return "embed_columns " + std::to_string(options.columns) + " x " + std::to_string(options.width);
}

ir::Value* Columns(ir::Builder& builder, ir::Value* x, int64_t from, int64_t to) {
  return builder.Op("Slice", {x, builder.Ints({from}), builder.Ints({to}), builder.Ints({1})});
}

ir::Value* Build(const EmbedColumnsOptions& options, LayerContext& context, ir::Value* x) {
  ir::Builder& builder = context.builder();
  const ir::Type& type = x->type();
  if (type.rank() != 2 || !type.dim(1).is_static() || type.dim(1).value() < options.columns) {
    throw Error(ErrorCode::kInvalidInput, "embed_columns takes rows [batch, n] of at least " +
                                              std::to_string(options.columns) + " columns, got " +
                                              ir::ToString(type.dims()));
  }
  const int64_t n = type.dim(1).value();
  const int64_t numbers = n - options.columns;
  ir::Value* table = context.AddParameter("weight", Shape{options.vocabulary, options.width},
                                          ReadInitializer(options.initializer),
                                          Fans{options.vocabulary, options.width});
  ir::Value* indices = builder.Op("Cast", {Columns(builder, x, numbers, n)},
                                  {{"to", static_cast<int64_t>(DType::kI64)}});
  ir::Value* vectors = builder.Op("Gather", {table, indices}, {{"axis", int64_t{0}}});
  vectors = builder.Op("Reshape", {vectors, builder.Ints({-1, options.columns * options.width})});
  if (numbers == 0) return vectors;
  ir::Value* rest = Columns(builder, x, 0, numbers);
  if (rest->type().dtype() != context.precision()) {
    rest = builder.Op("Cast", {rest}, {{"to", static_cast<int64_t>(context.precision())}});
  }
  return builder.Op("Concat", {rest, vectors}, {{"axis", int64_t{1}}});
}

}  // namespace

LayerKind EmbedColumnsLayer() {
  return DefineLayer<EmbedColumnsOptions>(Table(), Describe, Build, /*takes_any_type=*/true);
}

}  // namespace ingot::nn
