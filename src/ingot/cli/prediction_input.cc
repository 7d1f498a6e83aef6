// One reader for each kind of file, each of which ends in rows of the model's raw input.
#include "ingot/cli/prediction_input.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"
#include "ingot/cli/file_kind.h"
#include "ingot/data/csv_cells.h"
#include "ingot/data/source_kind.h"
#include "ingot/formats/csv.h"
#include "ingot/formats/image.h"

namespace ingot::cli {
namespace {

// The least and the greatest value of a type of whole numbers, as far as double has them; nullopt
// for other types.
std::optional<std::pair<double, double>> WholeRange(DType type) {
  using Range = std::optional<std::pair<double, double>>;
  return DispatchAll("a column", type, [](auto tag) -> Range {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      return Range({static_cast<double>(std::numeric_limits<T>::min()),
                    static_cast<double>(std::numeric_limits<T>::max())});
    } else {
      return std::nullopt;
    }
  });
}

Shape Rows(int64_t n, const Shape& row) {
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), row.dims().begin(), row.dims().end());
  return Shape(dims);
}

std::string TypeText(const data::Field& field) {
  return std::string(Name(field.dtype)) + field.shape.ToString();
}

// ---- pictures

// As the training data's pictures were read, where they came from files.
std::optional<PredictionInput> ReadLikeTheData(const std::string& path,
                                               const infer::Predictor& predictor) {
  std::optional<data::PictureReader> reader = data::PictureReaderOf(predictor.job().data.source);
  const Shape& shape = predictor.raw_input().shape;
  if (!reader || shape.rank() != 3) return std::nullopt;
  if (!reader->has_size()) reader->SetSize({shape[1], shape[2]});
  if (reader->shape() != shape) return std::nullopt;
  Tensor sample(DType::kU8, Rows(1, shape));
  reader->Read(formats::MapBlob(path), path, sample.data<uint8_t>().data());
  return PredictionInput{sample, true};
}

// [H, W, C] as [C, H, W].
Tensor Planes(const Tensor& picture) {
  const int64_t pixels = picture.shape()[0] * picture.shape()[1];
  const int64_t channels = picture.shape()[2];
  Tensor planes(DType::kU8, Shape{channels, picture.shape()[0], picture.shape()[1]});
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < pixels; ++i) {
      planes.data<uint8_t>()[static_cast<size_t>(c * pixels + i)] =
          picture.data<uint8_t>()[static_cast<size_t>(i * channels + c)];
    }
  }
  return planes;
}

PredictionInput ReadPicture(const std::string& path, const infer::Predictor& predictor) {
  if (const auto input = ReadLikeTheData(path, predictor)) return *input;
  const data::Field& wanted = predictor.raw_input();
  const Shape& shape = wanted.shape;
  const auto is_channels = [](int64_t extent) { return extent == 1 || extent == 3; };
  const bool in_planes = shape.rank() == 3 && is_channels(shape[0]) && !is_channels(shape[2]);
  const int64_t channels = in_planes ? shape[0] : shape.rank() == 3 ? shape[2] : 1;
  if (wanted.dtype != DType::kU8 || shape.rank() < 2 || shape.rank() > 3 ||
      !is_channels(channels)) {
    throw Error(ErrorCode::kInvalidInput,
                "'" + path + "' is a picture, but the model takes " + TypeText(wanted));
  }
  const int64_t height = in_planes ? shape[1] : shape[0];
  const int64_t width = in_planes ? shape[2] : shape[1];
  const Tensor picture =
      formats::ConvertImage(formats::ReadImage(path), static_cast<int>(channels));
  if (picture.shape()[0] != height || picture.shape()[1] != width) {
    throw Error(ErrorCode::kInvalidInput,
                fmt::format("'{}' is {} x {} pixels, but the model takes {} x {} ({})", path,
                            picture.shape()[1], picture.shape()[0], width, height,
                            channels == 1 ? "grey" : "RGB"),
                "scale it to that size first; the background should be as in the training data");
  }
  return {(in_planes ? Planes(picture) : picture).Reshape(Rows(1, shape)), true};
}

// ---- arrays

// Types that hold the model's values exactly or are made for it: floats for floats.
bool Converts(DType from, DType to) {
  const bool number = from != DType::kBool && (IsInteger(from) || IsFloat(from));
  return from == to || (number && IsFloat(to));
}

PredictionInput ReadArray(const std::string& path, FileKind kind, const data::Field& wanted) {
  Tensor array = ReadTensorFile(path, kind);
  const bool single = array.shape() == wanted.shape && array.shape().rank() > 0;
  const bool several = array.shape().rank() > 0 && array.shape()[0] > 0 &&
                       array.shape() == Rows(array.shape()[0], wanted.shape);
  if (!Converts(array.dtype(), wanted.dtype) || (!single && !several)) {
    std::string rows = std::string(Name(wanted.dtype)) + "[n";
    for (const int64_t dim : wanted.shape.dims()) rows += fmt::format(", {}", dim);
    throw Error(ErrorCode::kInvalidInput,
                "'" + path + "' holds " + array.Describe() + ", but the model takes " + rows + "]");
  }
  if (array.dtype() != wanted.dtype) array = array.Cast(wanted.dtype);
  if (single) array = array.Reshape(Rows(1, wanted.shape));
  return {array, single};
}

// ---- tables

// As the model stores it, or from the training data.
data::CsvEncoding EncodingOf(infer::Predictor& predictor) {
  const auto stored = predictor.metadata().find("data.csv");
  return data::CsvEncoding::FromJson(
      stored != predictor.metadata().end() ? stored->second : predictor.data().stored.at("csv"));
}

// Rows encoded as the training data were. The label's column need not be there.
class TableReader {
 public:
  TableReader(const std::string& path, const data::CsvSourceOptions& options,
              data::CsvEncoding encoding)
      : csv_(path, data::ReaderOptions(options)),
        cells_(csv_, options),
        encoding_(std::move(encoding)) {
    for (const std::string& name : encoding_.numbers) numbers_.push_back(Column(name));
    for (const std::string& name : encoding_.categories) categories_.push_back(Column(name));
  }

  Tensor Read(const data::Field& wanted) {
    const data::Field x = encoding_.field();
    std::vector<std::byte> rows;
    std::vector<double> values(numbers_.size());
    std::vector<std::string_view> texts(categories_.size());
    while (csv_.Next()) {
      for (size_t i = 0; i < values.size(); ++i) values[i] = cells_.Number(numbers_[i]);
      for (size_t i = 0; i < texts.size(); ++i) texts[i] = cells_.Category(categories_[i]);
      rows.resize(rows.size() + x.bytes());
      encoding_.Encode(values, texts, rows.data() + (rows.size() - x.bytes()));
    }
    if (rows.empty()) {
      throw Error(ErrorCode::kInvalidInput, "'" + csv_.name() + "' has no rows of data");
    }
    if (x.shape != wanted.shape) {
      throw Error(ErrorCode::kCorrupt,
                  "the model takes " + TypeText(wanted) + ", but its table gives " + TypeText(x));
    }
    Tensor samples(x.dtype, Rows(static_cast<int64_t>(rows.size() / x.bytes()), x.shape));
    std::copy(rows.begin(), rows.end(), samples.raw());
    return samples.Cast(wanted.dtype);
  }

 private:
  // Without a header, columns are numbered; without the label's too where it is not there.
  size_t Column(const std::string& name) const {
    const size_t features = encoding_.numbers.size() + encoding_.categories.size();
    const auto& header = csv_.header();
    if (std::find(header.begin(), header.end(), name) == header.end() && header.size() < features) {
      throw Error(
          ErrorCode::kInvalidInput,
          fmt::format("'{}' has {} columns without the label, but the model takes {} features",
                      csv_.name(), header.size(), features));
    }
    return csv_.Column(name);
  }

  formats::CsvReader csv_;
  data::CsvCells cells_;
  data::CsvEncoding encoding_;
  std::vector<size_t> numbers_;
  std::vector<size_t> categories_;
};

// A table for a model that was not trained on one: all the numbers of a sample in a row.
Tensor ReadNumbers(const std::string& path, const data::Field& wanted) {
  formats::CsvReader csv(path, {.header = false});
  const int64_t width = wanted.shape.size();
  std::vector<double> values;
  bool is_first = true;
  while (csv.Next()) {
    if (static_cast<int64_t>(csv.fields().size()) != width) {
      throw Error(ErrorCode::kInvalidInput,
                  fmt::format("{}:{}: {} columns, but a sample of the model has {} numbers ({})",
                              path, csv.line(), csv.fields().size(), width, TypeText(wanted)));
    }
    const bool is_header = is_first && !formats::ParseNumber(csv.fields()[0]);
    is_first = false;
    if (is_header) continue;
    for (size_t i = 0; i < csv.fields().size(); ++i) {
      const double value = csv.Number(i);
      if (const auto range = WholeRange(wanted.dtype);
          range &&
          !(value >= range->first && value <= range->second && value == std::floor(value))) {
        csv.Fail(i, fmt::format("expected a whole number from {:.0f} to {:.0f}, got '{}'",
                                range->first, range->second, std::string(csv.fields()[i])));
      }
      values.push_back(value);
    }
  }
  if (values.empty()) throw Error(ErrorCode::kInvalidInput, "'" + path + "' has no rows of data");
  const auto rows = static_cast<int64_t>(values.size()) / width;
  return Tensor::Of<double>(Rows(rows, wanted.shape), std::span<const double>(values))
      .Cast(wanted.dtype);
}

PredictionInput ReadTable(const std::string& path, infer::Predictor& predictor) {
  const NamedNode source = ReadNamed(predictor.job().data.source, "a source of data");
  if (source.name != "csv") return {ReadNumbers(path, predictor.raw_input()), false};
  const data::CsvSourceOptions options = data::CsvSourceTable().Read(source.options);
  TableReader reader(path, options, EncodingOf(predictor));
  return {reader.Read(predictor.raw_input()), false};
}

}  // namespace

PredictionInput ReadPredictionInput(const std::string& path, infer::Predictor& predictor) {
  switch (const FileKind kind = KindOf(path); kind) {
    case FileKind::kPicture:
      return ReadPicture(path, predictor);
    case FileKind::kIdx:
    case FileKind::kNpy:
      return ReadArray(path, kind, predictor.raw_input());
    case FileKind::kText:
      return ReadTable(path, predictor);
    case FileKind::kOther:
      break;
  }
  FailUnknownKind(path);
}

}  // namespace ingot::cli
