// Facts about files and data sets, collected once and printed as text or JSON.
#include "ingot/cli/data_info.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/bars.h"
#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/cli/file_kind.h"
#include "ingot/data/idx_source.h"
#include "ingot/formats/csv.h"
#include "ingot/formats/image.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::ordered_json;

// Of numbers, whatever they are in.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double sum = 0;
  double square = 0;
  int64_t count = 0;
  int64_t not_finite = 0;

  void Add(double value) {
    if (!std::isfinite(value)) {
      ++not_finite;
      return;
    }
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
    square += value * value;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double deviation() const {
    const double m = mean();
    return std::sqrt(std::max(0.0, square / static_cast<double>(count) - m * m));
  }
  std::string Text() const {
    if (count == 0) return "no finite value";
    std::string text = fmt::format("{} to {}, mean {:.6g}, standard deviation {:.6g}",
                                   FormatNumber(low), FormatNumber(high), mean(), deviation());
    if (not_finite > 0) text += ", " + WithThousands(not_finite) + " not finite";
    return text;
  }
  void Write(Json& json) const {
    if (count > 0) {
      json["smallest"] = low;
      json["largest"] = high;
      json["mean"] = mean();
      json["standard_deviation"] = deviation();
    }
    json["not_finite"] = not_finite;
  }
};

// One half of a folder of IDX files.
struct Half {
  std::string name;
  std::string x;
  std::string y;
  int64_t samples = 0;
  Range range;
  std::vector<int64_t> classes;  // samples of each
};

Half ReadHalf(const std::string& folder, const std::string& prefix, const std::string& name) {
  const data::IdxFiles files = data::FindIdxFiles(folder, prefix);
  const data::IdxSource source(files.images, files.labels);
  Half half;
  half.name = name;
  half.x = source.fields()[0].Describe();
  half.y = source.fields()[1].Describe();
  half.samples = source.size();
  half.classes.assign(static_cast<size_t>(source.fields()[1].classes), 0);
  Tensor x(source.fields()[0].dtype, source.fields()[0].shape);
  Tensor y(source.fields()[1].dtype, source.fields()[1].shape);
  const bool bytes = x.dtype() == DType::kU8;
  std::vector<int64_t> counts(256, 0);  // of bytes, which are counted first: a hundred times faster
  for (int64_t i = 0; i < source.size(); ++i) {
    source.Read(i, 0, x.raw());
    source.Read(i, 1, y.raw());
    ++half.classes[static_cast<size_t>(y.ToInts()[0])];
    if (bytes) {
      for (const uint8_t value : x.data<uint8_t>()) ++counts[value];
    } else {
      for (const double value : x.ToDoubles()) half.range.Add(value);
    }
  }
  for (size_t value = 0; bytes && value < counts.size(); ++value) {
    if (counts[value] == 0) continue;
    const auto number = static_cast<double>(value);
    const auto count = static_cast<double>(counts[value]);
    half.range.low = std::min(half.range.low, number);
    half.range.high = std::max(half.range.high, number);
    half.range.sum += number * count;
    half.range.square += number * number * count;
    half.range.count += counts[value];
  }
  return half;
}

std::string HalfText(const Half& half) {
  std::string text = fmt::format("{}: {} samples of {}, label {}\n  values {}\n", half.name,
                                 WithThousands(half.samples), half.x, half.y, half.range.Text());
  std::vector<Bar> bars;
  for (size_t c = 0; c < half.classes.size(); ++c) {
    bars.push_back({fmt::format("  class {}", c), static_cast<double>(half.classes[c]),
                    WithThousands(half.classes[c])});
  }
  BarStyle style;
  style.width = 40;
  style.unicode = LocaleIsUtf8();
  return text + BarChart(bars, style);
}

Json HalfJson(const Half& half) {
  Json json;
  json["samples"] = half.samples;
  json["x"] = half.x;
  json["y"] = half.y;
  half.range.Write(json);
  json["samples_of_class"] = half.classes;
  return json;
}

// A column of a table.
struct Column {
  std::string name;
  Range range;
  int64_t missing = 0;
  std::map<std::string, int64_t> texts;  // where it is not a number
  int64_t text_count = 0;
};

struct Table {
  int64_t rows = 0;
  std::vector<Column> columns;
};

constexpr size_t kMostTexts = 1000;

Table ReadTable(const std::string& path) {
  formats::CsvReader csv(path, {});
  Table table;
  for (const std::string& name : csv.header()) table.columns.push_back({name, {}, 0, {}, 0});
  while (csv.Next()) {
    ++table.rows;
    for (size_t i = 0; i < table.columns.size(); ++i) {
      Column& column = table.columns[i];
      const std::string text(Trim(csv.fields()[i]));
      const std::optional<double> number = formats::ParseNumber(text);
      if (number) {
        column.range.Add(*number);
      } else if (text.empty() || text == "NA" || text == "N/A" || text == "?") {
        ++column.missing;
      } else {
        ++column.text_count;
        if (column.texts.size() < kMostTexts) ++column.texts[text];
      }
    }
  }
  return table;
}

std::string TableText(const std::string& path, const Table& table) {
  std::string text = fmt::format("{}: {} rows of {} columns\n", path, WithThousands(table.rows),
                                 table.columns.size());
  size_t width = 0;
  for (const Column& column : table.columns) width = std::max(width, DisplayWidth(column.name));
  for (const Column& column : table.columns) {
    text += "  " + column.name + std::string(width - DisplayWidth(column.name) + 2, ' ');
    if (column.text_count == 0) {
      text += column.range.Text();
    } else {
      text +=
          fmt::format("{}{} distinct texts", column.texts.size() >= kMostTexts ? "at least " : "",
                      column.texts.size());
      if (column.range.count > 0) text += fmt::format(", {} numbers", column.range.count);
    }
    if (column.missing > 0) text += fmt::format(", {} missing", WithThousands(column.missing));
    text += "\n";
  }
  return text;
}

Json TableJson(const Table& table) {
  Json json;
  json["rows"] = table.rows;
  json["columns"] = Json::array();
  for (const Column& column : table.columns) {
    Json entry;
    entry["name"] = column.name;
    entry["numbers"] = column.range.count;
    entry["missing"] = column.missing;
    entry["texts"] = column.text_count;
    if (column.range.count > 0) column.range.Write(entry);
    json["columns"].push_back(std::move(entry));
  }
  return json;
}

Range RangeOf(const Tensor& tensor) {
  Range range;
  for (const double value : tensor.ToDoubles()) range.Add(value);
  return range;
}

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string JsonText(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string DataInfoText(const std::string& path) {
  if (IsFolder(path)) {
    return path + "\n" + HalfText(ReadHalf(path, "train", "training")) +
           HalfText(ReadHalf(path, "t10k", "test"));
  }
  const FileKind kind = KindOf(path);
  if (kind == FileKind::kText) return TableText(path, ReadTable(path));
  if (kind == FileKind::kOther) FailUnknownKind(path);
  const Tensor tensor =
      kind == FileKind::kPicture ? formats::ReadImage(path) : ReadTensorFile(path, kind);
  return fmt::format("{}: {}\n  values {}\n", path, tensor.Describe(), RangeOf(tensor).Text());
}

std::string DataInfoJson(const std::string& path) {
  Json json;
  json["path"] = path;
  if (IsFolder(path)) {
    json["training"] = HalfJson(ReadHalf(path, "train", "training"));
    json["test"] = HalfJson(ReadHalf(path, "t10k", "test"));
    return Dump(json);
  }
  const FileKind kind = KindOf(path);
  if (kind == FileKind::kOther) FailUnknownKind(path);
  if (kind == FileKind::kText) {
    json["table"] = TableJson(ReadTable(path));
    return Dump(json);
  }
  const Tensor tensor =
      kind == FileKind::kPicture ? formats::ReadImage(path) : ReadTensorFile(path, kind);
  json["type"] = std::string(Name(tensor.dtype()));
  json["shape"] = tensor.shape().dims();
  RangeOf(tensor).Write(json);
  return Dump(json);
}

}  // namespace ingot::cli
