// Numbers of texts, and the JSON that a model keeps.
#include "ingot/data/csv_encoding.h"

#include <algorithm>
#include <cstring>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"

namespace ingot::data {

int64_t CsvEncoding::vocabulary() const {
  int64_t sum = 0;
  for (const auto& texts : vocabularies) sum += static_cast<int64_t>(texts.size()) + 1;
  return sum;
}

Field CsvEncoding::field() const {
  const auto columns = static_cast<int64_t>(categories.size());
  const auto width = static_cast<int64_t>(numbers.size());
  Field x{.name = "x", .dtype = DType::kF64, .shape = Shape{width}};
  if (columns == 0) return x;
  x.categorical = one_hot ? vocabulary() : columns;
  x.shape = Shape{width + x.categorical};
  if (!one_hot) x.classes = vocabulary();
  if (!one_hot && width == 0) x.dtype = DType::kI64;
  return x;
}

int64_t CsvEncoding::Number(size_t column, std::string_view text) const {
  const std::vector<std::string>& texts = vocabularies[column];
  const auto found = std::lower_bound(texts.begin(), texts.end(), text);
  return found != texts.end() && *found == text ? found - texts.begin() + 1 : 0;
}

void CsvEncoding::Encode(std::span<const double> values, std::span<const std::string_view> texts,
                         void* out) const {
  const bool whole = !one_hot && numbers.empty() && !categories.empty();
  auto* at = static_cast<std::byte*>(out);
  const auto put = [&](double value) {
    if (whole) {
      const auto integer = static_cast<int64_t>(value);
      std::memcpy(at, &integer, sizeof(integer));
    } else {
      std::memcpy(at, &value, sizeof(value));
    }
    at += sizeof(double);
  };
  for (size_t i = 0; i < values.size(); ++i) put(values[i] == values[i] ? values[i] : means[i]);
  int64_t first = 0;
  for (size_t c = 0; c < texts.size(); ++c) {
    const int64_t number = Number(c, texts[c]);
    const auto size = static_cast<int64_t>(vocabularies[c].size()) + 1;
    if (one_hot) {
      for (int64_t i = 0; i < size; ++i) put(i == number ? 1 : 0);
    } else {
      put(static_cast<double>(first + number));
    }
    first += size;
  }
}

std::string CsvEncoding::ToJson() const {
  const nlohmann::json json = {{"numbers", numbers},
                               {"categories", categories},
                               {"encoding", one_hot ? "one_hot" : "index"},
                               {"means", means},
                               {"vocabularies", vocabularies}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

CsvEncoding CsvEncoding::FromJson(const std::string& text) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    CsvEncoding encoding;
    encoding.numbers = json.at("numbers").get<std::vector<std::string>>();
    encoding.categories = json.at("categories").get<std::vector<std::string>>();
    encoding.one_hot = json.at("encoding").get<std::string>() == "one_hot";
    encoding.means = json.at("means").get<std::vector<double>>();
    encoding.vocabularies = json.at("vocabularies").get<std::vector<std::vector<std::string>>>();
    const bool good = encoding.vocabularies.size() == encoding.categories.size() &&
                      encoding.means.size() == encoding.numbers.size();
    if (good) return encoding;
  } catch (const nlohmann::json::exception&) {
  }
  throw Error(ErrorCode::kCorrupt, "the model's description of its table is damaged");
}

}  // namespace ingot::data
