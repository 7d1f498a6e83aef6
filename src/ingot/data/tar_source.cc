// Indexes the shards, then reads samples where they lie.
#include "ingot/data/tar_source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "ingot/base/byte_count.h"
#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/data/class_numbers.h"
#include "ingot/data/damaged_records.h"
#include "ingot/data/shard_pattern.h"
#include "ingot/data/source_kind.h"
#include "ingot/formats/npy.h"
#include "ingot/formats/tar.h"

namespace ingot::data {

const OptionTable<TarOptions>& TarTable() {
  static const auto table = [] {
    OptionTable<TarOptions> t(
        "tar", "samples in tar shards, in WebDataset's layout: KEY.jpg with KEY.cls, ...");
    t.Add("train", &TarOptions::train,
          "the shards of the training data: train-{000..015}.tar, or shards/*.tar")
        .Add("test", &TarOptions::test, "those of the test data (default: none)")
        .Add("x", &TarOptions::x,
             "ending of the sample: jpg, jpeg, png or npy (default: the one that is there)")
        .Add(
            "y", &TarOptions::y,
            "ending of the label: cls (a class number), json (see json_key), or any other, such as "
            "txt: the text is the class")
        .Add("json_key", &TarOptions::json_key,
             "with y: json, the member that is the label: a class number or a text")
        .Add("classes", &TarOptions::classes,
             "class numbers are below this (default: as the training data say)",
             Between(0, kMostClasses))
        .Required("train");
    AddPictureOptions(t);
    t.AddChoice("on_error", &TarOptions::on_error,
                "a sample that cannot be read: fail ends the run; skip: every one is decoded once "
                "at the start, and those that are damaged are left out, named and counted",
                {"fail", "skip"})
        .Add("cache", &TarOptions::cache,
             "memory for decoded samples of each half of the data; 0: each is decoded every time");
    return t;
  }();
  return table;
}

namespace {

constexpr int64_t kDigestSamples = 64;

struct SplitName {
  std::string key;
  std::string ending;  // "cls"; "" where there is none
};

// At the first dot behind the last slash.
SplitName SplitAtDot(const std::string& name) {
  const size_t slash = name.rfind('/');
  const size_t dot = name.find('.', slash == std::string::npos ? 0 : slash + 1);
  if (dot == std::string::npos) return {name, ""};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// A class number or the text of a class.
struct Label {
  std::optional<int64_t> number;
  std::string text;
};

Label JsonLabel(std::string_view bytes, const std::string& key, const std::string& where) {
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, false);
  if (!json.is_object()) throw Error(ErrorCode::kCorrupt, where + ": damaged JSON");
  const auto found = json.find(key);
  if (found != json.end() && found->is_number_integer()) return {found->get<int64_t>(), ""};
  if (found != json.end() && found->is_string()) return {std::nullopt, found->get<std::string>()};
  throw Error(
      ErrorCode::kInvalidInput,
      where + (found == json.end() ? " has no member '" + key + "'"
                                   : ": '" + key + "' is neither a whole number nor a text"),
      "json_key names the label's member");
}

Label ReadLabel(std::span<const std::byte> bytes, const TarOptions& options,
                const std::string& where) {
  const std::string_view text = Trim(formats::AsText(bytes));
  if (options.y == "json") return JsonLabel(text, options.json_key, where);
  if (options.y != "cls") return {std::nullopt, std::string(text)};
  if (const auto number = ParseWhole<int64_t>(text)) return {number, ""};
  throw Error(ErrorCode::kInvalidInput,
              where + " holds '" + std::string(text.substr(0, 40)) + "', expected a class number",
              "y: txt takes texts as classes");
}

}  // namespace

// Goes through the files of the shards in their order.
class TarSource::Indexer {
 public:
  Indexer(TarSource& source, bool is_known) : source_(source), is_known_(is_known) {}

  void Add(const std::string& path) {
    source_.shards_.push_back({path, formats::MapBlob(path)});
    const Shard& shard = source_.shards_.back();
    for (const formats::TarEntry& entry : formats::ParseTar(shard.blob.bytes(), path)) {
      Take(shard, entry);
    }
    Finish();
  }

  // Class numbers of the labels, or numbers for the texts.
  void NumberLabels(const TarSource* like) {
    if (labels_.empty()) return;
    const bool texts = !labels_[0].number;
    for (size_t i = 0; i < labels_.size(); ++i) {
      if (texts == !labels_[i].number) continue;
      throw Error(ErrorCode::kInvalidInput, source_.NameOf(source_.samples_[i]) +
                                                ": some labels are numbers and some are texts");
    }
    if (texts) {
      NumberTexts(like);
    } else {
      TakeNumbers(like);
    }
  }

 private:
  void Take(const Shard& shard, const formats::TarEntry& entry) {
    const SplitName name = SplitAtDot(entry.name);
    if (name.ending.empty()) return;
    if (name.key != key_) {
      Finish();
      key_ = name.key;
    }
    const std::string where = shard.path + ": " + entry.name;
    if (IsSample(name.ending)) {
      if (x_) throw Error(ErrorCode::kInvalidInput, where + " is there twice");
      Sample sample;
      sample.shard = static_cast<uint32_t>(source_.shards_.size() - 1);
      sample.entry = entry.at;
      sample.at = static_cast<uint64_t>(entry.bytes.data() - shard.blob.bytes().data());
      sample.size = entry.bytes.size();
      x_ = sample;
    } else if (name.ending == source_.options_.y) {
      if (y_) throw Error(ErrorCode::kInvalidInput, where + " is there twice");
      y_ = ReadLabel(entry.bytes, source_.options_, where);
    }
  }

  // Where the job does not say, the first sample decides between pictures and arrays.
  bool IsSample(const std::string& ending) {
    const std::string& wanted = source_.options_.x;
    const bool is_picture = IsPictureEnding(ending);
    if (!wanted.empty() ? ending != wanted : !is_picture && ending != "npy") return false;
    if (!is_known_) source_.is_picture_ = ending != "npy";
    is_known_ = true;
    return !wanted.empty() || is_picture == source_.is_picture_;
  }

  // The sample whose files have been seen. Files of a key with neither of the two are not one.
  void Finish() {
    if (x_ || y_) {
      if (!x_ || !y_) {
        const std::string x = source_.options_.x.empty() ? "jpg, png or npy" : source_.options_.x;
        throw Error(ErrorCode::kInvalidInput,
                    source_.shards_.back().path + ": sample '" + key_ + "' has no ." +
                        (x_ ? source_.options_.y : x),
                    "the files of a sample lie one after another; x and y name their endings");
      }
      source_.samples_.push_back(*x_);
      labels_.push_back(std::move(*y_));
    }
    x_.reset();
    y_.reset();
    key_.clear();
  }

  void NumberTexts(const TarSource* like) {
    std::set<std::string> texts;
    for (const Label& label : labels_) texts.insert(label.text);
    source_.classes_ =
        like != nullptr ? like->classes_ : std::vector<std::string>(texts.begin(), texts.end());
    const ClassNumbers numbers(source_.classes_);
    for (size_t i = 0; i < labels_.size(); ++i) {
      Sample& sample = source_.samples_[i];
      sample.label = numbers.Get(labels_[i].text, [&] { return source_.NameOf(sample); });
    }
    source_.options_.classes = static_cast<int64_t>(source_.classes_.size());
  }

  void TakeNumbers(const TarSource* like) {
    int64_t& classes = source_.options_.classes;
    if (like != nullptr) classes = like->options_.classes;
    if (classes == 0) {
      for (size_t i = 0; i < labels_.size(); ++i) {
        const auto where = [&] { return source_.NameOf(source_.samples_[i]); };
        if (*labels_[i].number >= classes) classes = ClassesUpTo(*labels_[i].number, where);
      }
    }
    for (size_t i = 0; i < labels_.size(); ++i) {
      const int64_t number = *labels_[i].number;
      if (number < 0 || number >= classes) {
        throw Error(ErrorCode::kInvalidInput, source_.NameOf(source_.samples_[i]) + ": label " +
                                                  std::to_string(number) + " is not in [0, " +
                                                  std::to_string(classes) + ")");
      }
      source_.samples_[i].label = number;
    }
  }

  TarSource& source_;
  bool is_known_ = false;  // is_picture_
  std::string key_;
  std::optional<Sample> x_;
  std::optional<Label> y_;
  std::vector<Label> labels_;
};

TarSource::TarSource(const std::string& pattern, const TarOptions& options, const TarSource* like)
    : DecodedSource("mend the shard, or leave damaged samples out: data.source.tar.on_error: skip"),
      options_(options),
      reader_(options) {
  if (like != nullptr) is_picture_ = like->is_picture_;
  Indexer indexer(*this, like != nullptr);
  for (const std::string& path : ExpandPattern(pattern)) indexer.Add(path);
  if (samples_.empty()) {
    throw Error(ErrorCode::kInvalidInput,
                "'" + pattern + "' holds no sample: no file ends in ." +
                    (options_.x.empty() ? "jpg, .jpeg, .png or .npy" : options_.x));
  }
  indexer.NumberLabels(like);
  Field x = FindX(like);
  SetFields(std::move(x), std::max<int64_t>(options_.classes, 1),
            is_picture_ ? ParseBytes(options.cache) : 0);
  if (options.on_error == "skip") {
    LeaveOutDamaged(samples_);
    if (samples_.empty()) {
      throw Error(ErrorCode::kCorrupt, "every sample is damaged; the first: " + skipped()[0]);
    }
  }
}

Field TarSource::FindX(const TarSource* like) {
  if (like != nullptr) {
    reader_ = like->reader_;
    return like->fields()[0];
  }
  const bool skips = options_.on_error == "skip";
  if (is_picture_) {
    if (!reader_.has_size()) {
      ReadFirst(samples_.size(), skips,
                [&](size_t i) { reader_.SetSizeOf(BytesOf(samples_[i]), NameOf(samples_[i])); });
    }
    return {.name = "x", .dtype = DType::kU8, .shape = reader_.shape()};
  }
  const Tensor array = ReadFirst(samples_.size(), skips, [&](size_t i) {
    return formats::ParseNpy(BytesOf(samples_[i]), NameOf(samples_[i]));
  });
  if (!IsArithmetic(array.dtype())) ThrowUnsupportedDType("data", array.dtype());
  return {.name = "x", .dtype = array.dtype(), .shape = array.shape()};
}

// Shares the shard's mapping.
formats::Blob TarSource::BytesOf(const Sample& sample) const {
  const formats::Blob& shard = shards_[sample.shard].blob;
  return {std::shared_ptr<std::byte>(shard.data, shard.data.get() + sample.at), sample.size};
}

void TarSource::Decode(int64_t record, void* out) const {
  const Sample& sample = samples_[static_cast<size_t>(record)];
  if (is_picture_) {
    reader_.Read(BytesOf(sample), NameOf(sample), static_cast<uint8_t*>(out));
    return;
  }
  const Tensor array = formats::ParseNpy(BytesOf(sample), NameOf(sample));
  const Field& x = fields()[0];
  if (array.dtype() != x.dtype || array.shape() != x.shape) {
    throw Error(ErrorCode::kInvalidInput, NameOf(sample) + " is " + array.Describe() +
                                              ", but the first sample is " + x.Describe());
  }
  std::memcpy(out, array.raw(), array.bytes());
}

// The name is read again from the headers in front of the bytes.
std::string TarSource::NameOf(const Sample& sample) const {
  const Shard& shard = shards_[sample.shard];
  const auto entry = static_cast<size_t>(sample.entry);
  const std::vector<formats::TarEntry> entries = formats::ParseTar(
      shard.blob.bytes().subspan(entry, static_cast<size_t>(sample.at + sample.size) - entry),
      shard.path);
  return shard.path + ": " + (entries.empty() ? "?" : entries[0].name);
}

std::string TarSource::Where(int64_t record) const {
  return NameOf(samples_[static_cast<size_t>(record)]);
}

uint64_t TarSource::Digest() const {
  uint64_t digest = HashBytes(0, formats::AsBytes(fields()[0].Describe()));
  for (const Shard& shard : shards_) {
    digest = HashBytes(digest, std::as_bytes(std::span(&shard.blob.size, 1)));
  }
  for (const Sample& sample : samples_) {
    const std::array<int64_t, 2> numbers = {static_cast<int64_t>(sample.at), sample.label};
    digest = HashBytes(digest, std::as_bytes(std::span(numbers)));
  }
  const int64_t count = std::min(size(), kDigestSamples);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(EvenlySpaced(i, count, size()));
    digest = HashBytes(digest, BytesOf(samples_[at]).bytes());
  }
  return digest;
}

SourceKind TarSourceKind() {
  return DefinePictureSource(TarTable(), OpenHalves<TarSource, TarOptions>);
}

}  // namespace ingot::data
