// Tokenizers in Hugging Face's tokenizer.json (github.com/huggingface/tokenizers).
#include <algorithm>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/formats/pre_tokenizer.h"
#include "ingot/formats/tokenizer.h"

namespace ingot::formats {

namespace {

using Json = nlohmann::json;

// Token numbers above this are damage, not a vocabulary.
constexpr int64_t kMaxTokens = int64_t{1} << 24;

class Reader {
 public:
  Reader(const Json& json, const std::string& name) : json_(json), name_(name) {}

  TokenizerParts Read() {
    if (!json_.is_object()) Corrupt("is no JSON object");
    RefuseOther("normalizer");
    const Json* model = Find(json_, "model");
    if (model == nullptr || !model->is_object()) Corrupt("has no model");
    const std::string type = Text(*model, "type", "BPE");
    if (type != "BPE") Unsupported("model", type);
    for (const char* option : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!Text(*model, option, "").empty()) Unsupported("option", option);
    }
    if (Flag(*model, "byte_fallback", false)) Unsupported("option", "byte_fallback");
    parts_.ignore_merges = Flag(*model, "ignore_merges", false);
    ReadPreTokenizer();
    ReadVocabulary(*model);
    ReadAdded();
    ReadMerges(*model);
    return std::move(parts_);
  }

 private:
  [[noreturn]] void Corrupt(const std::string& what) const {
    throw Error(ErrorCode::kCorrupt, name_ + " " + what, "expected a Hugging Face tokenizer.json");
  }
  [[noreturn]] void Unsupported(const std::string& what, const std::string& type) const {
    throw Error(ErrorCode::kUnsupported, name_ + " uses the " + what + " '" + type + "'",
                "byte-level BPE as GPT-2 uses it is what is supported");
  }

  static const Json* Find(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }
  std::string Text(const Json& object, const char* key, const std::string& otherwise) const {
    const Json* value = Find(object, key);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) Corrupt("has a '" + std::string(key) + "' that is no text");
    return value->get<std::string>();
  }
  bool Flag(const Json& object, const char* key, bool otherwise) const {
    const Json* value = Find(object, key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) Corrupt("has a '" + std::string(key) + "' that is not true or false");
    return value->get<bool>();
  }

  void RefuseOther(const char* part) const {
    const Json* value = Find(json_, part);
    if (value != nullptr) Unsupported(part, value->is_object() ? Text(*value, "type", "?") : "?");
  }

  void ReadPreTokenizer() {
    const Json* part = Find(json_, "pre_tokenizer");
    if (part == nullptr || !part->is_object()) Unsupported("pre_tokenizer", "none");
    std::string type = Text(*part, "type", "?");
    if (type == "Sequence") {
      const Json* list = Find(*part, "pretokenizers");
      if (list == nullptr || !list->is_array() || list->size() != 1 || !(*list)[0].is_object()) {
        Unsupported("pre_tokenizer", type);
      }
      part = &(*list)[0];
      type = Text(*part, "type", "?");
    }
    if (type != "ByteLevel") Unsupported("pre_tokenizer", type);
    parts_.add_prefix_space = Flag(*part, "add_prefix_space", true);
    parts_.split = Flag(*part, "use_regex", true);
  }

  void Place(const std::string& what, const Json& id, std::string bytes) {
    if (!id.is_number_integer() || id.get<double>() < 0 ||
        id.get<double>() > static_cast<double>(kMaxTokens)) {
      Corrupt("gives " + what + " the number " + id.dump());
    }
    const auto number = id.get<size_t>();
    if (number >= parts_.tokens.size()) parts_.tokens.resize(number + 1);
    if (!parts_.tokens[number].empty() && parts_.tokens[number] != bytes) {
      Corrupt("gives the number " + std::to_string(number) + " to two tokens");
    }
    parts_.tokens[number] = std::move(bytes);
  }

  void ReadVocabulary(const Json& model) {
    const Json* vocabulary = Find(model, "vocab");
    if (vocabulary == nullptr || !vocabulary->is_object()) Corrupt("has no vocab");
    std::string bytes;
    for (const auto& [text, id] : vocabulary->items()) {
      // Text outside of the alphabet can only be an added token, which stands for itself.
      const bool ordinary = BytesOfCharacters(text, bytes) && !IsAdded(text);
      if (text.empty()) Corrupt("has an empty token");
      Place("token '" + text + "'", id, ordinary ? bytes : text);
      numbers_.emplace(text, id.get<uint32_t>());
    }
  }

  bool IsAdded(const std::string& text) const {
    const Json* list = Find(json_, "added_tokens");
    if (list == nullptr || !list->is_array()) return false;
    return std::any_of(list->begin(), list->end(), [&](const Json& token) {
      const auto content = token.is_object() ? token.find("content") : token.end();
      return token.is_object() && content != token.end() && *content == text;
    });
  }

  void ReadAdded() {
    const Json* list = Find(json_, "added_tokens");
    if (list == nullptr) return;
    if (!list->is_array()) Corrupt("has added_tokens that are no list");
    for (const Json& token : *list) {
      if (!token.is_object()) Corrupt("has an added token that is no object");
      AddedToken added;
      added.content = Text(token, "content", "");
      if (added.content.empty()) Corrupt("has an added token without content");
      for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
        if (Flag(token, flag, false)) Unsupported("option of an added token", flag);
      }
      added.special = Flag(token, "special", false);
      const Json* id = Find(token, "id");
      if (id == nullptr) Corrupt("has an added token without an id");
      Place("added token '" + added.content + "'", *id, added.content);
      added.id = id->get<uint32_t>();
      parts_.added.push_back(std::move(added));
    }
  }

  uint32_t Number(const std::string& text, const std::string& merge) const {
    const auto found = numbers_.find(text);
    if (found != numbers_.end()) return found->second;
    Corrupt("merges " + merge + ", but its vocab has no token '" + text + "'");
  }

  void ReadMerges(const Json& model) {
    const Json* merges = Find(model, "merges");
    if (merges == nullptr || !merges->is_array()) Corrupt("has no merges");
    for (const Json& merge : *merges) {
      std::string left;
      std::string right;
      if (merge.is_string()) {
        const auto text = merge.get<std::string>();
        const size_t space = text.find(' ');
        if (space == std::string::npos)
          Corrupt("has the merge '" + text + "', expected two tokens");
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      } else {
        Corrupt("has a merge that is not two tokens");
      }
      const std::string what = "'" + left + "' and '" + right + "'";
      parts_.merges.push_back(
          {Number(left, what), Number(right, what), Number(left + right, what)});
    }
  }

  const Json& json_;
  const std::string& name_;
  TokenizerParts parts_;
  std::unordered_map<std::string, uint32_t> numbers_;
};

}  // namespace

Tokenizer Tokenizer::ParseJson(std::string_view text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) {
    throw Error(ErrorCode::kCorrupt, name + " is no JSON",
                "expected a Hugging Face tokenizer.json");
  }
  return Tokenizer(Reader(json, name).Read());
}

Tokenizer Tokenizer::ReadJson(const std::string& path) {
  return ParseJson(ReadFile(path), path);
}

std::string Tokenizer::ToJson() const {
  const TokenizerParts& parts = this->parts();
  Json vocabulary = Json::object();
  std::vector<std::string> names(parts.tokens.size());
  for (size_t id = 0; id < names.size(); ++id) names[id] = CharactersOfBytes(parts.tokens[id]);
  Json added = Json::array();
  for (const AddedToken& token : parts.added) {
    names[token.id] = token.content;
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", token.special}});
  }
  for (size_t id = 0; id < names.size(); ++id) {
    if (!names[id].empty()) vocabulary[names[id]] = id;
  }
  Json merges = Json::array();
  for (const TokenizerParts::Merge& merge : parts.merges) {
    merges.push_back({names[merge.left], names[merge.right]});
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", parts.add_prefix_space},
                           {"trim_offsets", true},
                           {"use_regex", parts.split}};
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", byte_level},
                     {"post_processor", nullptr},
                     {"decoder", byte_level},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", parts.ignore_merges},
                       {"vocab", vocabulary},
                       {"merges", merges}}}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ingot::formats
