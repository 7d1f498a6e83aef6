// embedding, position_embedding, tied_dense: vectors for tokens and places, and scores from them.
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/nn/layers/layers.h"
#include "ingot/nn/layers/product.h"

namespace ingot::nn {

namespace {

Initializer SmallNormal() {
  Initializer initializer;
  initializer.kind = "normal";
  initializer.std = 0.02;
  return initializer;
}

struct EmbeddingOptions {
  int64_t vocabulary = 0;
  int64_t width = 0;
  ConfigNode initializer = WriteInitializer(SmallNormal());
};

const OptionTable<EmbeddingOptions>& EmbeddingTable() {
  static const auto table =
      OptionTable<EmbeddingOptions>("embedding",
                                    "a trained vector for each token: [batch, ...] -> [batch, "
                                    "..., width]")
          .Add("vocabulary", &EmbeddingOptions::vocabulary, "tokens lie below this", AtLeast(1))
          .Add("width", &EmbeddingOptions::width, "of a vector", AtLeast(1))
          .AddNode("initializer", &EmbeddingOptions::initializer,
                   "first values of the table [vocabulary, width]: an initializer")
          .Required("vocabulary")
          .Required("width");
  return table;
}

std::string DescribeEmbedding(const EmbeddingOptions& options) {
  return "embedding " + std::to_string(options.vocabulary) + " x " + std::to_string(options.width);
}

// Whether numbers of this type tell all tokens from each other.
void CheckHolds(int64_t vocabulary, DType dtype) {
  const int bits = dtype == DType::kF64 ? 53 : 24;
  if (vocabulary <= int64_t{1} << bits) return;
  throw Error(ErrorCode::kInvalidInput,
              "the tokens come as " + std::string(Name(dtype)) +
                  ", which holds whole numbers up to " + WithThousands(int64_t{1} << bits) +
                  ", and there are " + WithThousands(vocabulary),
              "take them from a source of tokens, or number them anew");
}

ir::Value* BuildEmbedding(const EmbeddingOptions& options, LayerContext& context, ir::Value* x) {
  ir::Builder& builder = context.builder();
  const DType dtype = x->type().dtype();
  if (dtype != DType::kI64 && dtype != DType::kI32) {
    CheckHolds(options.vocabulary, dtype);
    x = builder.Op("Cast", {x}, {{"to", static_cast<int64_t>(DType::kI64)}});
  }
  ir::Value* table = context.AddParameter("weight", Shape{options.vocabulary, options.width},
                                          ReadInitializer(options.initializer),
                                          Fans{options.vocabulary, options.width});
  return builder.Op("Gather", {table, x}, {{"axis", int64_t{0}}});
}

struct PositionOptions {
  ConfigNode initializer = WriteInitializer(SmallNormal());
};

const OptionTable<PositionOptions>& PositionTable() {
  static const auto table =
      OptionTable<PositionOptions>("position_embedding",
                                   "adds a trained vector for each place of a sequence [batch, "
                                   "length, width]")
          .AddNode("initializer", &PositionOptions::initializer,
                   "first values of the table [length, width]: an initializer");
  return table;
}

std::string DescribePosition(const PositionOptions&) {
  return "position_embedding";
}

ir::Value* BuildPosition(const PositionOptions& options, LayerContext& context, ir::Value* x) {
  const ir::Type& type = x->type();
  if (type.rank() != 3 || !type.dim(1).is_static() || !type.dim(2).is_static()) {
    throw Error(ErrorCode::kInvalidInput, "position_embedding takes [batch, length, width], got " +
                                              ir::ToString(type.dims()));
  }
  const int64_t length = type.dim(1).value();
  const int64_t width = type.dim(2).value();
  ir::Value* table = context.AddParameter(
      "weight", Shape{length, width}, ReadInitializer(options.initializer), Fans{length, width});
  return context.builder().Add(x, table);
}

struct TiedOptions {
  std::string to;
};

const OptionTable<TiedOptions>& TiedTable() {
  static const auto table =
      OptionTable<TiedOptions>("tied_dense",
                               "x times the transposed table of an embedding before it: a score "
                               "for each token, without parameters of its own")
          .Add("to", &TiedOptions::to, "the embedding's name, as its parameters have it")
          .Shorthand("to")
          .Required("to");
  return table;
}

std::string DescribeTied(const TiedOptions& options) {
  return "tied_dense " + options.to;
}

ir::Value* BuildTied(const TiedOptions& options, LayerContext& context, ir::Value* x) {
  ir::Value* table = context.FindParameter(options.to + ".weight");
  if (table == nullptr) {
    throw Error(ErrorCode::kInvalidInput,
                "no layer before it has a parameter '" + options.to + ".weight'",
                "give the embedding a name: - {embedding: {...}, name: " + options.to + "}");
  }
  const ir::Type& weight = table->type();
  if (weight.rank() != 2 || x->type().rank() < 2 || !(x->type().dim(-1) == weight.dim(1))) {
    throw Error(ErrorCode::kInvalidInput, "the input is " + x->type().ToString() + ", but '" +
                                              options.to + ".weight' is " + weight.ToString() +
                                              ": their last extents differ");
  }
  return Product(context.builder(), x, table, nullptr, /*transposed=*/true);
}

}  // namespace

LayerKind EmbeddingLayer() {
  return DefineLayer<EmbeddingOptions>(EmbeddingTable(), DescribeEmbedding, BuildEmbedding,
                                       /*takes_any_type=*/true);
}

LayerKind PositionEmbeddingLayer() {
  return DefineLayer<PositionOptions>(PositionTable(), DescribePosition, BuildPosition);
}

LayerKind TiedDenseLayer() {
  return DefineLayer<TiedOptions>(TiedTable(), DescribeTied, BuildTied);
}

}  // namespace ingot::nn
