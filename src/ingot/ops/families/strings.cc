// Strings: StringConcat, StringSplit, StringNormalizer, RegexFullMatch, TfIdfVectorizer.
//
// Letters are ASCII's where case matters; other characters are bytes that stay as they are.
#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>

#include "ingot/base/error.h"
#include "ingot/ops/broadcast.h"
#include "ingot/ops/definition.h"
#include "ingot/ops/elementwise.h"
#include "ingot/ops/shape_rule.h"

namespace ingot::ops {
namespace {

using ir::Attribute;
using ir::AttributeKind;
using ir::Attributes;
using ir::Dimension;
using ir::Dimensions;
using ir::InferContext;
using ir::Type;
using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;

void RequireStrings(const InferContext& context, size_t input) {
  if (context.input(input).dtype() == DType::kString) return;
  throw Error(ErrorCode::kInvalidInput, "input " + std::to_string(input) + " is " +
                                            context.input(input).ToString() +
                                            ", expected a tensor of strings");
}

const Strings* FindStrings(const ir::Node& node, const std::string& name) {
  const auto found = node.attributes().find(name);
  return found == node.attributes().end() ? nullptr : std::get_if<Strings>(&found->second);
}

ir::OpDefinition StringOp(std::string name, int since, std::string summary,
                          std::vector<ir::Port> inputs) {
  ir::OpDefinition op;
  op.name = std::move(name);
  op.since_version = since;
  op.summary = std::move(summary);
  op.inputs = std::move(inputs);
  op.outputs = {Required("Y")};
  return op;
}

// ---- StringConcat ----

void RegisterStringConcat(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      StringOp("StringConcat", 20, "X followed by Y, broadcast.", {Required("X"), Required("Y")});
  op.infer = [](InferContext& context) {
    RequireStrings(context, 0);
    context.SetOutput(0, BroadcastInputs(context));
  };
  op.dynamic_reference = [](const ir::Node&, std::span<const Tensor> inputs) {
    const Shape shape = BroadcastShapes(inputs[0].shape(), inputs[1].shape());
    const auto a = inputs[0].data<StringRef>(), b = inputs[1].data<StringRef>();
    auto at = BroadcastIndex<2>(shape.dims(), {inputs[0].shape().dims(), inputs[1].shape().dims()});
    Strings texts;
    for (int64_t i = 0; i < shape.size(); ++i, at.Next()) {
      texts.push_back(std::string(a[static_cast<size_t>(at[0])].view()) +
                      std::string(b[static_cast<size_t>(at[1])].view()));
    }
    return std::vector<Tensor>{Tensor::OfStrings(shape, std::move(texts))};
  };
  registry.Add(std::move(op));
}

// ---- StringSplit ----

bool IsSpace(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

// Parts between runs of white space; after `most` splits the rest is one part.
Strings SplitAtSpaces(std::string_view text, int64_t most) {
  Strings parts;
  size_t at = 0;
  while (true) {
    while (at < text.size() && IsSpace(text[at])) ++at;
    if (at == text.size()) return parts;
    if (static_cast<int64_t>(parts.size()) == most) {
      size_t end = text.size();
      while (end > at && IsSpace(text[end - 1])) --end;
      parts.emplace_back(text.substr(at, end - at));
      return parts;
    }
    const size_t begin = at;
    while (at < text.size() && !IsSpace(text[at])) ++at;
    parts.emplace_back(text.substr(begin, at - begin));
  }
}

Strings SplitAt(std::string_view text, const std::string& delimiter, int64_t most) {
  Strings parts;
  if (text.empty()) return parts;
  size_t at = 0;
  while (static_cast<int64_t>(parts.size()) < most) {
    const size_t found = text.find(delimiter, at);
    if (found == std::string_view::npos) break;
    parts.emplace_back(text.substr(at, found - at));
    at = found + delimiter.size();
  }
  parts.emplace_back(text.substr(at));
  return parts;
}

void RegisterStringSplit(ir::OpRegistry& registry) {
  ir::OpDefinition op = StringOp(
      "StringSplit", 20,
      "The parts of each string along a new axis, padded with empty ones, and their number.",
      {Required("X")});
  op.outputs.push_back(Required("Z", "I"));
  op.attributes = {OptionalAttribute("delimiter", AttributeKind::kString),
                   OptionalAttribute("maxsplit", AttributeKind::kInt)};
  op.infer = [](InferContext& context) {
    RequireStrings(context, 0);
    const Type& x = context.input(0);
    context.SetOutput(1, x.WithDType(DType::kI64));
    if (!x.has_rank()) {
      context.SetOutput(0, x);
      return;
    }
    Dimensions dims = x.dims();
    dims.emplace_back();
    context.SetOutput(0, Type::Tensor(DType::kString, std::move(dims)));
  };
  op.dynamic_reference = [](const ir::Node& node, std::span<const Tensor> inputs) {
    const std::string delimiter =
        node.HasAttribute("delimiter") ? node.GetString("delimiter") : std::string();
    const int64_t most = node.HasAttribute("maxsplit") ? node.GetInt("maxsplit") : int64_t{1} << 62;
    std::vector<Strings> split;
    Tensor counts(DType::kI64, inputs[0].shape());
    size_t widest = 0;
    for (const StringRef& text : inputs[0].data<StringRef>()) {
      split.push_back(delimiter.empty() ? SplitAtSpaces(text.view(), most)
                                        : SplitAt(text.view(), delimiter, most));
      widest = std::max(widest, split.back().size());
      counts.data<int64_t>()[split.size() - 1] = static_cast<int64_t>(split.back().size());
    }
    Ints dims = inputs[0].shape().dims();
    dims.push_back(static_cast<int64_t>(widest));
    Strings all;
    for (Strings& parts : split) {
      parts.resize(widest);
      all.insert(all.end(), parts.begin(), parts.end());
    }
    return std::vector<Tensor>{Tensor::OfStrings(Shape(dims), std::move(all)), counts};
  };
  registry.Add(std::move(op));
}

// ---- StringNormalizer ----

std::string Cased(std::string text, bool upper) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    c = static_cast<char>(upper ? std::toupper(byte) : std::tolower(byte));
  }
  return text;
}

std::vector<Tensor> NormalizeStrings(const ir::Node& node, std::span<const Tensor> inputs) {
  const Shape& shape = inputs[0].shape();
  if (shape.rank() < 1 || shape.rank() > 2 || (shape.rank() == 2 && shape[0] != 1)) {
    throw Error(ErrorCode::kInvalidInput,
                "X is " + inputs[0].Describe() + ", expected [C] or [1, C]");
  }
  const std::string& action = node.GetString("case_change_action");
  if (action != "NONE" && action != "LOWER" && action != "UPPER") {
    throw Error(ErrorCode::kInvalidInput, "attribute 'case_change_action' is '" + action +
                                              "', expected NONE, LOWER or UPPER");
  }
  const bool sensitive = node.GetInt("is_case_sensitive") != 0;
  std::set<std::string> stop;
  if (const Strings* words = FindStrings(node, "stopwords")) {
    for (const std::string& word : *words) stop.insert(sensitive ? word : Cased(word, false));
  }
  Strings kept;
  for (const StringRef& ref : inputs[0].data<StringRef>()) {
    const std::string text(ref.view());
    if (stop.count(sensitive ? text : Cased(text, false)) > 0) continue;
    kept.push_back(action == "NONE" ? text : Cased(text, action == "UPPER"));
  }
  if (kept.empty()) kept.emplace_back();
  const auto count = static_cast<int64_t>(kept.size());
  return {
      Tensor::OfStrings(shape.rank() == 2 ? Shape({1, count}) : Shape({count}), std::move(kept))};
}

void RegisterStringNormalizer(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      StringOp("StringNormalizer", 10, "The strings without stop words, in lower or upper case.",
               {Required("X")});
  op.attributes = {StringAttribute("case_change_action", "NONE"),
                   IntAttribute("is_case_sensitive", 0),
                   OptionalAttribute("locale", AttributeKind::kString),
                   OptionalAttribute("stopwords", AttributeKind::kStrings)};
  op.infer = [](InferContext& context) {
    RequireStrings(context, 0);
    const Type& x = context.input(0);
    context.SetOutput(0, x.has_rank() ? x.WithDims(UnknownDimensions(x.rank())) : x);
  };
  op.dynamic_reference = NormalizeStrings;
  registry.Add(std::move(op));
}

// ---- RegexFullMatch ----

void RegisterRegexFullMatch(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      StringOp("RegexFullMatch", 20, "Whether each whole string matches a regular expression.",
               {Required("X")});
  op.outputs = {Required("Y", "B")};
  op.attributes = {RequiredAttribute("pattern", AttributeKind::kString)};
  op.infer = [](InferContext& context) {
    RequireStrings(context, 0);
    context.SetOutput(0, context.input(0).WithDType(DType::kBool));
  };
  op.reference = [](const ir::ReferenceCall& call) {
    const std::string& pattern = call.node.GetString("pattern");
    try {
      const std::regex expression(pattern, std::regex::ECMAScript);
      for (int64_t i = 0; i < call.output().size(); ++i) {
        const std::string text(call.input(0).as<StringRef>()[i].view());
        call.output().as<bool>()[i] = std::regex_match(text, expression);
      }
    } catch (const std::regex_error& error) {
      throw Error(ErrorCode::kInvalidInput,
                  "attribute 'pattern' is '" + pattern + "': " + error.what());
    }
  };
  registry.Add(std::move(op));
}

// ---- TfIdfVectorizer ----

// The pool: n-grams of tokens (integers as text), each with its place in the output.
struct NGrams {
  explicit NGrams(const ir::Node& node)
      : least(node.GetInt("min_gram_length")),
        most(node.GetInt("max_gram_length")),
        skips(node.GetInt("max_skip_count")),
        places(node.GetInts("ngram_indexes")) {
    Strings tokens;
    if (const Strings* strings = FindStrings(node, "pool_strings")) {
      tokens = *strings;
    } else {
      for (const int64_t token : node.GetInts("pool_int64s")) {
        tokens.push_back(std::to_string(token));
      }
    }
    const Ints& starts = node.GetInts("ngram_counts");
    size_t gram = 0;
    for (size_t n = 0; n < starts.size(); ++n) {
      const size_t end = n + 1 < starts.size() ? static_cast<size_t>(starts[n + 1]) : tokens.size();
      for (auto at = static_cast<size_t>(starts[n]); at + n < end; at += n + 1) {
        const auto first = tokens.begin() + static_cast<int64_t>(at);
        pool[Strings(first, first + static_cast<int64_t>(n + 1))] = gram++;
      }
    }
    for (const int64_t place : places) width = std::max(width, place + 1);
    if (gram > places.size() || *std::min_element(places.begin(), places.end()) < 0) {
      throw Error(ErrorCode::kInvalidInput, "attribute 'ngram_indexes' has " +
                                                std::to_string(places.size()) + " elements for " +
                                                std::to_string(gram) + " n-grams");
    }
  }

  // Adds what a row of tokens holds.
  void Count(const Strings& row, double* out) const {
    const auto size = static_cast<int64_t>(row.size());
    for (int64_t n = least; n <= most; ++n) {
      // Single tokens have nothing between them to skip.
      for (int64_t skip = 0; skip <= (n == 1 ? 0 : skips); ++skip) {
        for (int64_t at = 0; at + (n - 1) * (skip + 1) < size; ++at) {
          Strings gram;
          for (int64_t i = 0; i < n; ++i) {
            gram.push_back(row[static_cast<size_t>(at + i * (skip + 1))]);
          }
          const auto found = pool.find(gram);
          if (found != pool.end()) out[places[found->second]] += 1;
        }
      }
    }
  }

  int64_t least, most, skips;
  Ints places;
  std::map<Strings, size_t> pool;
  int64_t width = 0;
};

void TfIdfReference(const ir::ReferenceCall& call) {
  const ir::Node& node = call.node;
  const NGrams grams(node);
  const TensorView& x = call.input(0);
  Strings tokens;
  if (x.dtype == DType::kString) {
    for (int64_t i = 0; i < x.size(); ++i) tokens.emplace_back(x.as<StringRef>()[i].view());
  } else {
    for (const int64_t token : ReadInts(x)) tokens.push_back(std::to_string(token));
  }
  const int64_t rows = x.rank() == 2 ? x.dim(0) : 1;
  const int64_t each = rows == 0 ? 0 : x.size() / rows;
  std::vector<double> counts(static_cast<size_t>(rows * grams.width), 0);
  for (int64_t r = 0; r < rows; ++r) {
    grams.Count(Strings(tokens.begin() + r * each, tokens.begin() + (r + 1) * each),
                counts.data() + r * grams.width);
  }
  const std::string& mode = node.GetString("mode");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") {
    throw Error(ErrorCode::kInvalidInput,
                "attribute 'mode' is '" + mode + "', expected TF, IDF or TFIDF");
  }
  // The weight of a place in the output is that of its n-gram.
  std::vector<double> weights(static_cast<size_t>(grams.width), 1);
  if (node.HasAttribute("weights")) {
    const std::vector<double>& given = node.GetFloats("weights");
    for (size_t i = 0; i < grams.places.size() && i < given.size(); ++i) {
      weights[static_cast<size_t>(grams.places[i])] = given[i];
    }
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    const double weight = weights[i % static_cast<size_t>(grams.width)];
    if (mode == "IDF") counts[i] = counts[i] > 0 ? weight : 0;
    if (mode == "TFIDF") counts[i] *= weight;
  }
  ConvertElements(counts.data(), DType::kF64, call.output().data, DType::kF32,
                  call.output().size());
}

void RegisterTfIdf(ir::OpRegistry& registry) {
  ir::OpDefinition op =
      StringOp("TfIdfVectorizer", 9, "How often (or whether) each n-gram of a pool is in each row.",
               {Required("X")});
  op.outputs = {Required("Y", "F")};
  op.attributes = {RequiredAttribute("max_gram_length", AttributeKind::kInt),
                   RequiredAttribute("max_skip_count", AttributeKind::kInt),
                   RequiredAttribute("min_gram_length", AttributeKind::kInt),
                   RequiredAttribute("mode", AttributeKind::kString),
                   RequiredAttribute("ngram_counts", AttributeKind::kInts),
                   RequiredAttribute("ngram_indexes", AttributeKind::kInts),
                   OptionalAttribute("pool_int64s", AttributeKind::kInts),
                   OptionalAttribute("pool_strings", AttributeKind::kStrings),
                   OptionalAttribute("weights", AttributeKind::kFloats)};
  op.infer = [](InferContext& context) {
    const Type& x = context.input(0);
    if (x.has_rank() && x.rank() != 1 && x.rank() != 2) {
      throw Error(ErrorCode::kInvalidInput, "X is " + x.ToString() + ", expected [C] or [N, C]");
    }
    if (!x.has_rank()) {
      context.SetOutput(0, Type::TensorOfUnknownRank(DType::kF32));
      return;
    }
    Dimensions dims;
    if (x.rank() == 2) dims.push_back(x.dim(0));
    dims.emplace_back(NGrams(context.node()).width);
    context.SetOutput(0, Type::Tensor(DType::kF32, std::move(dims)));
  };
  op.reference = TfIdfReference;
  const auto attributes = [](int64_t skips, const char* mode) {
    return Attributes{{"max_gram_length", Attribute(int64_t{2})},
                      {"max_skip_count", Attribute(skips)},
                      {"min_gram_length", Attribute(int64_t{1})},
                      {"mode", Attribute(std::string(mode))},
                      {"ngram_counts", Attribute(Ints{0, 2})},
                      {"ngram_indexes", Attribute(Ints{0, 1, 2})},
                      {"pool_int64s", Attribute(Ints{2, 3, 5, 4})},
                      {"weights", Attribute(std::vector<double>{2, 0.5, 1})}};
  };
  // The pool: (2), (3), (5, 4).
  const OpCase::Input x = Integers({2, 4}, {2, 5, 4, 2, 3, 5, 3, 4});
  op.cases = {ExpectedOnly("tf", {x}, {2, 0, 1, 0, 2, 0}, attributes(0, "TF")),
              ExpectedOnly("skips", {x}, {2, 0, 1, 0, 2, 1}, attributes(1, "TF")),
              ExpectedOnly("idf", {x}, {2, 0, 1, 0, 0.5, 0}, attributes(0, "IDF")),
              ExpectedOnly("tfidf", {x}, {4, 0, 1, 0, 1, 0}, attributes(0, "TFIDF"))};
  registry.Add(std::move(op));
}

}  // namespace

void RegisterStrings(ir::OpRegistry& registry) {
  RegisterStringConcat(registry);
  RegisterStringSplit(registry);
  RegisterStringNormalizer(registry);
  RegisterRegexFullMatch(registry);
  RegisterTfIdf(registry);
}

}  // namespace ingot::ops
