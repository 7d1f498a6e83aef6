// Manifest: see manifest.h.
#include "ingot/train/manifest.h"

#include <cmath>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/sha256.h"

namespace ingot::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBeforeChecksum = ",\n  \"checksum\": \"";
constexpr std::string_view kAfterChecksum = "\"\n}\n";
constexpr size_t kDigits = 64;

[[noreturn]] void Damaged(const std::string& path, const std::string& what) {
  throw Error(ErrorCode::kCorrupt, path + " is damaged: " + what);
}

Json ToJson(const MonitorState& state) {
  return {{"metric", state.metric},
          {"value", state.best},
          {"step", state.best_step},
          {"waited", state.waited}};
}

// Reads members with their types checked; every fault names the file and the member.
class Reader {
 public:
  Reader(const Json& json, const std::string& path) : json_(json), path_(path) {
    if (!json.is_object()) Damaged(path_, "expected an object");
  }

  const Json& Member(const char* name) const {
    const auto found = json_.find(name);
    if (found == json_.end()) Damaged(path_, fmt::format("'{}' is missing", name));
    return *found;
  }
  std::string Text(const char* name) const {
    const Json& value = Member(name);
    if (!value.is_string()) Damaged(path_, fmt::format("'{}' is not a string", name));
    return value.get<std::string>();
  }
  uint64_t Unsigned(const char* name) const {
    const Json& value = Member(name);
    if (!value.is_number_unsigned()) {
      Damaged(path_, fmt::format("'{}' is not a whole number of 0 or more", name));
    }
    return value.get<uint64_t>();
  }
  int64_t Count(const char* name) const {
    const uint64_t value = Unsigned(name);
    if (value > static_cast<uint64_t>(INT64_MAX)) {
      Damaged(path_, fmt::format("'{}' is {}, too large", name, value));
    }
    return static_cast<int64_t>(value);
  }
  double Number(const char* name) const {
    const Json& value = Member(name);
    if (!value.is_number()) Damaged(path_, fmt::format("'{}' is not a number", name));
    return value.get<double>();
  }
  MonitorState Monitored(const char* name) const {
    const Reader reader(Member(name), path_);
    return {reader.Text("metric"), reader.Number("value"), reader.Count("step"),
            reader.Count("waited")};
  }

 private:
  const Json& json_;
  const std::string& path_;
};

std::map<std::string, double> ReadSums(const Json& json, const std::string& path) {
  const Reader reader(json, path);
  std::map<std::string, double> sums;
  for (const auto& sum : json.items()) sums[sum.key()] = reader.Number(sum.key().c_str());
  return sums;
}

Json ToJson(const std::map<std::string, double>& sums) {
  Json json = Json::object();
  for (const auto& [name, value] : sums) {
    INGOT_ASSERT(std::isfinite(value), "JSON has no way to write the sum " + name);
    json[name] = value;
  }
  return json;
}

bool IsDigest(const std::string& text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

ManifestFile ReadFileEntry(const Json& json, const std::string& path) {
  const Reader reader(json, path);
  ManifestFile file{reader.Text("name"), reader.Unsigned("bytes"), reader.Text("sha256")};
  if (file.name.empty() || file.name[0] == '.' || file.name.find('/') != std::string::npos ||
      file.name.find('\0') != std::string::npos) {
    Damaged(path, fmt::format("'{}' is not the name of a file of a checkpoint", file.name));
  }
  if (!IsDigest(file.sha256)) {
    Damaged(path, fmt::format("the SHA-256 of {} is '{}'", file.name, file.sha256));
  }
  return file;
}

Manifest FromJson(const Json& json, const std::string& path) {
  const Reader reader(json, path);
  const int64_t version = reader.Count("format_version");
  if (version != kManifestVersion) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{} has format version {}, and this program reads version {}", path,
                            version, kManifestVersion),
                "use the version of Ingot that wrote it");
  }
  Manifest manifest;
  manifest.step = reader.Count("step");
  manifest.epoch = reader.Count("epoch");
  manifest.seed = reader.Unsigned("seed");
  manifest.job_digest = reader.Text("job_digest");
  manifest.data_digest = reader.Text("data_digest");
  manifest.kernel_digest = reader.Text("kernel_digest");
  manifest.best = reader.Monitored("best");
  manifest.early_stopping = reader.Monitored("early_stopping");
  if (json.contains("plateau")) {
    manifest.plateau = reader.Monitored("plateau");
    manifest.plateau_falls = reader.Count("plateau_falls");
  }
  manifest.epoch_sums = ReadSums(reader.Member("epoch_sums"), path);
  if (json.contains("interval_sums")) {
    manifest.interval_sums = ReadSums(json.at("interval_sums"), path);
  }
  const Json& files = reader.Member("files");
  if (!files.is_array()) Damaged(path, "'files' is not a list");
  std::set<std::string> names;
  for (const Json& file : files) {
    manifest.files.push_back(ReadFileEntry(file, path));
    if (!names.insert(manifest.files.back().name).second) {
      Damaged(path, fmt::format("{} is listed twice", manifest.files.back().name));
    }
  }
  return manifest;
}

// The text up to the checksum, checked against it.
std::string_view CheckedBody(std::string_view text, const std::string& path) {
  const size_t tail = kBeforeChecksum.size() + kDigits + kAfterChecksum.size();
  if (text.size() <= tail) Damaged(path, "it is too short");
  const std::string_view body = text.substr(0, text.size() - tail);
  const std::string_view before = text.substr(body.size(), kBeforeChecksum.size());
  const std::string_view digest = text.substr(body.size() + before.size(), kDigits);
  if (before != kBeforeChecksum ||
      text.substr(text.size() - kAfterChecksum.size()) != kAfterChecksum) {
    Damaged(path, "it does not end with its checksum (cut off or changed)");
  }
  if (Sha256Hex(body) != digest) Damaged(path, "its checksum does not match");
  return body;
}

}  // namespace

const ManifestFile* Manifest::Find(std::string_view name) const {
  for (const ManifestFile& file : files) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

std::string WriteManifest(const Manifest& manifest) {
  Json files = Json::array();
  for (const ManifestFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  Json json = {
      {"format_version", kManifestVersion},
      {"step", manifest.step},
      {"epoch", manifest.epoch},
      {"seed", manifest.seed},
      {"job_digest", manifest.job_digest},
      {"data_digest", manifest.data_digest},
      {"kernel_digest", manifest.kernel_digest},
      {"best", ToJson(manifest.best)},
      {"early_stopping", ToJson(manifest.early_stopping)},
      {"epoch_sums", ToJson(manifest.epoch_sums)},
      {"files", files},
  };
  if (!manifest.interval_sums.empty()) json["interval_sums"] = ToJson(manifest.interval_sums);
  if (!manifest.plateau.metric.empty()) {
    json["plateau"] = ToJson(manifest.plateau);
    json["plateau_falls"] = manifest.plateau_falls;
  }
  std::string body = json.dump(2);
  body.resize(body.size() - 2);  // "\n}": the checksum goes before it
  std::string text = body;
  text += kBeforeChecksum;
  text += Sha256Hex(body);
  text += kAfterChecksum;
  return text;
}

Manifest ReadManifest(std::string_view text, const std::string& path) {
  const std::string body(CheckedBody(text, path));
  Json json;
  try {
    json = Json::parse(body + "\n}");
  } catch (const nlohmann::json::exception& error) {
    Damaged(path, fmt::format("it is not JSON ({})", error.what()));
  }
  return FromJson(json, path);
}

}  // namespace ingot::train
