// Reading, changing and writing YAML trees, with the place of every value and fault.
#include "ingot/base/config.h"

#include <string>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

// The message of the Error that `function` throws, with its hint behind a newline.
template <typename Function>
std::string MessageOf(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.hint().empty() ? error.message() : error.message() + "\n" + error.hint();
  }
  return "no error";
}

std::string ParseMessage(const std::string& text) {
  return MessageOf([&] { ParseConfig(text, "job.yaml"); });
}

bool Same(const ConfigNode& a, const ConfigNode& b) {
  if (a.kind() != b.kind() || a.scalar() != b.scalar()) return false;
  if (a.items().size() != b.items().size() || a.entries().size() != b.entries().size()) {
    return false;
  }
  for (size_t i = 0; i < a.items().size(); ++i) {
    if (!Same(a.items()[i], b.items()[i])) return false;
  }
  for (size_t i = 0; i < a.entries().size(); ++i) {
    if (a.entries()[i].first != b.entries()[i].first) return false;
    if (!Same(a.entries()[i].second, b.entries()[i].second)) return false;
  }
  return true;
}

const ConfigNode& At(const ConfigNode& node, const std::string& key) {
  const ConfigNode* found = node.Find(key);
  if (found == nullptr) throw Error(ErrorCode::kInternal, "no key " + key);
  return *found;
}

std::string Numbered(const char* name, int number) {
  return std::string(name).append(std::to_string(number));
}

TEST(ConfigTest, GivesKindsValuesAndPlaces) {
  const ConfigNode root = ParseConfig(
      "data: mnist\n"
      "model:\n"
      "  layers:\n"
      "    - dense: 64\n"
      "    - [1, 2]\n"
      "nothing:\n"
      "empty: ~\n"
      "text: \"null\"\n",
      "job.yaml");
  ASSERT_TRUE(root.is_map());
  EXPECT_EQ(root.entries().size(), 5u);
  EXPECT_EQ(root.entries()[0].first, "data");
  EXPECT_EQ(At(root, "data").scalar(), "mnist");
  EXPECT_EQ(At(root, "data").Where(), "job.yaml:1:7: data");
  EXPECT_EQ(At(root, "data").WhereKey(), "job.yaml:1:1: data");
  const ConfigNode& layers = At(At(root, "model"), "layers");
  ASSERT_TRUE(layers.is_list());
  EXPECT_EQ(At(layers.items()[0], "dense").Where(), "job.yaml:4:14: model.layers[0].dense");
  EXPECT_EQ(At(layers.items()[0], "dense").WhereKey(), "job.yaml:4:7: model.layers[0].dense");
  EXPECT_EQ(layers.items()[1].items()[1].path(), "model.layers[1][1]");
  EXPECT_TRUE(At(root, "nothing").is_null());
  EXPECT_TRUE(At(root, "empty").is_null());
  EXPECT_TRUE(At(root, "text").is_scalar());
  EXPECT_EQ(root.Find("absent"), nullptr);
}

TEST(ConfigTest, EmptyTextIsNull) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) {
    const ConfigNode root = ParseConfig(text, "job.yaml");
    EXPECT_TRUE(root.is_null()) << text;
    EXPECT_EQ(root.Where(), text[0] == '-' ? root.Where() : "job.yaml:1:1");
  }
}

TEST(ConfigTest, DescribesWhatStandsThere) {
  const ConfigNode root =
      ParseConfig("a: ten\nb: [1, 2]\nc: {x: 1, y: 2}\nd:\ne: []\nf: {z: 1}\n", "j");
  EXPECT_EQ(At(root, "a").Describe(), "'ten'");
  EXPECT_EQ(At(root, "b").Describe(), "a list of 2");
  EXPECT_EQ(At(root, "c").Describe(), "a map with the keys x, y");
  EXPECT_EQ(At(root, "d").Describe(), "nothing");
  EXPECT_EQ(At(root, "e").Describe(), "an empty list");
  EXPECT_EQ(At(root, "f").Describe(), "a map with the key z");
}

TEST(ConfigTest, FailNamesPlaceAndPath) {
  const ConfigNode root = ParseConfig("train:\n  epochs: ten\n", "job.yaml");
  const ConfigNode& epochs = At(At(root, "train"), "epochs");
  EXPECT_EQ(MessageOf([&] { epochs.Fail("is bad", "do better"); }),
            "job.yaml:2:11: train.epochs: is bad\ndo better");
  EXPECT_EQ(MessageOf([&] { epochs.FailKey("is bad"); }), "job.yaml:2:3: train.epochs: is bad");
}

TEST(ConfigTest, SyntaxErrorsNameThePlace) {
  EXPECT_EQ(ParseMessage("a: [1, 2\nb: 3\n").substr(0, 13), "job.yaml:2:2:");
  EXPECT_EQ(ParseMessage("a: b: c\n"),
            "job.yaml:1:5: illegal map value\ntext that contains ': ' needs quotes");
  EXPECT_NE(ParseMessage("a:\n\tb: 1\n").find("indented with spaces, not with tabs"),
            std::string::npos)
      << ParseMessage("a:\n\tb: 1\n");
  EXPECT_EQ(ParseMessage("a: \"open\n"), "job.yaml:1:4: the quote that opens here is not closed");
  EXPECT_EQ(ParseMessage("a: 'it''s\n"), "job.yaml:1:4: the quote that opens here is not closed");
  EXPECT_EQ(ParseMessage("a: 'it''s'\nb: \"\\\"\"\nc: ''\n"), "no error");
}

TEST(ConfigTest, DuplicateKeysAreErrors) {
  EXPECT_EQ(ParseMessage("train:\n  epochs: 1\n  seed: 2\n  epochs: 3\n"),
            "job.yaml:4:3: the key 'epochs' is given twice\n"
            "it is first given in line 2; remove one of them");
}

TEST(ConfigTest, KeysMustBeScalars) {
  EXPECT_EQ(ParseMessage("? [1, 2]\n: 3\n"),
            "job.yaml:1:3: a list or map stands where a key is expected");
  EXPECT_EQ(ParseMessage("a: &x [1]\n*x : 2\n"),
            "job.yaml:2:1: a list or map stands where a key is expected");
  EXPECT_EQ(ParseMessage("~: 3\n"), "job.yaml:1:1: a key is missing in front of ':'");
  EXPECT_EQ(ParseMessage("? " + std::string(300, 'k') + "\n: 1\n"),
            "job.yaml:1:3: a key of 300 bytes, expected at most 256");
}

TEST(ConfigTest, AliasesAreCopiesWithTheirOwnPath) {
  const ConfigNode root = ParseConfig("a: &x {k: 1}\nb: *x\n", "job.yaml");
  EXPECT_TRUE(Same(At(root, "a"), At(root, "b")));
  EXPECT_EQ(At(At(root, "b"), "k").path(), "b.k");
  EXPECT_EQ(At(At(root, "b"), "k").line(), 1);
  EXPECT_EQ(At(root, "b").WhereKey(), "job.yaml:2:1: b");
}

TEST(ConfigTest, RecursionAndDepthAreErrors) {
  EXPECT_EQ(ParseMessage("a: &x [1, *x]\n"),
            "job.yaml:1:11: the alias refers to a value that contains it");
  EXPECT_EQ(ParseMessage(std::string(64, '[') + std::string(64, ']')), "no error");
  EXPECT_EQ(ParseMessage(std::string(65, '[') + std::string(65, ']')),
            "job.yaml:1:65: nested deeper than 64 levels");
  EXPECT_NE(ParseMessage(std::string(100'000, '[')), "no error");
  // Depth by aliases of aliases.
  std::string text = "a0: &a0 [[[[[[[[1]]]]]]]]\n";
  for (int i = 1; i < 10; ++i) {
    text += Numbered("a", i) + Numbered(": &a", i) + Numbered(" [[[[[[[[*a", i - 1);
    text += "]]]]]]]]\n";
  }
  EXPECT_NE(ParseMessage(text).find("nested deeper than 64 levels"), std::string::npos);
}

TEST(ConfigTest, AliasesCannotExhaustMemory) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    text += Numbered("a", i) + Numbered(": &a", i) + " [";
    for (int k = 0; k < 6; ++k) text += Numbered(" *a", i - 1) + " ,";
    text += "]\n";
  }
  EXPECT_NE(ParseMessage(text).find("more than 100,000 values"), std::string::npos);
  std::string big = "a: &a " + std::string(1 << 20, 'x') + "\nb: [";
  for (int i = 0; i < 20; ++i) big += "*a, ";
  EXPECT_NE(ParseMessage(big + "]\n").find("more than 16.0 MiB of text"), std::string::npos);
  std::string wide = "a: [";
  for (int i = 0; i < 100'001; ++i) wide += "1,";
  EXPECT_NE(ParseMessage(wide + "]\n").find("more than 100,000 values"), std::string::npos);
  EXPECT_EQ(ParseMessage(std::string((4 << 20) + 1, ' ')),
            "job.yaml: 4.0 MiB of YAML, expected at most 4.0 MiB\nis this the right file?");
}

TEST(ConfigTest, OneDocumentOnly) {
  EXPECT_EQ(ParseMessage("a: 1\n---\nb: 2\n").substr(0, 9), "job.yaml:");
  EXPECT_NE(ParseMessage("a: 1\n---\nb: 2\n").find("a second document begins here"),
            std::string::npos);
}

TEST(ConfigTest, BinaryTextIsRefused) {
  EXPECT_EQ(ParseMessage(std::string("a: 1\nb: \x04\n")),
            "job.yaml:2:4: byte 0x04 is not UTF-8 text\nsave the file as plain text in UTF-8");
  EXPECT_NE(ParseMessage(std::string("\xff\xfe"
                                     "a\0",
                                     4))
                .find("byte 0xff"),
            std::string::npos);
  EXPECT_NE(ParseMessage("a: \xc0\x80").find("byte 0xc0"), std::string::npos);
  EXPECT_NE(ParseMessage("a: \xed\xa0\x80").find("byte 0xed"), std::string::npos);
  EXPECT_NE(ParseMessage("a: \xe2\x82").find("byte 0xe2"), std::string::npos);
  const ConfigNode root = ParseConfig("\xef\xbb\xbfn: gr\xc3\xbc\xc3\x9f\n", "job.yaml");
  EXPECT_EQ(At(root, "n").scalar(), "gr\xc3\xbc\xc3\x9f");
}

TEST(ConfigTest, SetPathChangesAndMakes) {
  ConfigNode root = ParseConfig("optimizer:\n  adam: {beta1: 0.9}\nlayers: [{units: 1}]\n", "j");
  root.SetPath("optimizer.adam.beta1", "0.8");
  root.SetPath("optimizer.adam.learning_rate", "0.01");
  root.SetPath("train.limits", "{steps: 5, names: [a, b]}");
  root.SetPath("layers[0].units", "64");
  root.SetPath("layers[1].units", "10");
  root.SetPath("note", "");
  EXPECT_EQ(At(At(At(root, "optimizer"), "adam"), "beta1").scalar(), "0.8");
  EXPECT_EQ(At(At(At(root, "optimizer"), "adam"), "learning_rate").Where(),
            "--set: optimizer.adam.learning_rate");
  const ConfigNode& steps = At(At(At(root, "train"), "limits"), "steps");
  EXPECT_EQ(steps.Where(), "--set: train.limits.steps");
  EXPECT_EQ(steps.line(), 0);
  EXPECT_EQ(At(At(root, "layers").items()[1], "units").scalar(), "10");
  EXPECT_EQ(At(At(root, "layers").items()[1], "units").path(), "layers[1].units");
  EXPECT_TRUE(At(root, "note").is_null());
  ConfigNode empty;
  empty.SetPath("a.b", "1");
  EXPECT_EQ(empty.ToYaml(), "a:\n  b: 1\n");
}

TEST(ConfigTest, SetPathGoesOnBelowAShortForm) {
  ConfigNode root = ParseConfig("a: adam\nb: 64\nc: [1, 2]\nd: cosine\n", "j");
  root.SetPath("a.adam.beta1", "0.8");
  root.SetPath("b.activation", "relu");
  root.SetPath("c.join", "add");
  root.SetPath("d.warm_up", "5");
  root.SetPath("d.cosine.steps", "9");
  EXPECT_EQ(root.ToYaml(),
            "a:\n  adam:\n    beta1: 0.8\n"
            "b:\n  \"\": 64\n  activation: relu\n"
            "c:\n  \"\": [1, 2]\n  join: add\n"
            "d:\n  cosine:\n    steps: 9\n  warm_up: 5\n");
  EXPECT_EQ(At(At(root, "a"), "adam").Where(), "j:1:4: a.adam");
  const ConfigNode& short_form = At(At(root, "b"), "");
  EXPECT_EQ(short_form.Where(), "j:2:4: b");
  EXPECT_EQ(At(root, "b").Where(), "j:2:4: b");
  EXPECT_EQ(At(root, "b").Describe(), "'64' with keys set below it");
  // A later value takes all of it away.
  root.SetPath("b", "32");
  EXPECT_EQ(At(root, "b").scalar(), "32");
}

TEST(ConfigTest, WhatStandsInAFileKeepsItsPlaceInWhatAProgramMakes) {
  const ConfigNode root = ParseConfig("a: {b: 1}\n", "j");
  const ConfigNode made = ConfigNode::List(
      {ConfigNode::Map({{"from", At(root, "a")}, {"new", ConfigNode::Scalar("2")}})});
  EXPECT_EQ(At(made.items()[0], "from").Where(), "j:1:4: a");
  EXPECT_EQ(At(At(made.items()[0], "from"), "b").Where(), "j:1:8: a.b");
  EXPECT_EQ(At(made.items()[0], "new").Where(), "[0].new");
  EXPECT_FALSE(made.has_place());
  EXPECT_EQ(made.At(At(root, "a")).Where(), "j:1:4: a");
}

TEST(ConfigTest, SetPathSaysWhatIsWrong) {
  ConfigNode root = ParseConfig("a: {b: 1, c: [1]}\n", "j");
  const std::string before = root.ToYaml();
  const auto message = [&](const std::string& path, const std::string& text) {
    return MessageOf([&] { root.SetPath(path, text); });
  };
  EXPECT_EQ(message("a[0]", "1"), "--set: 'a[0]': 'a' is a map with the keys b, c, not a list");
  EXPECT_EQ(message("a.c[3]", "1"), "--set: 'a.c[3]': 'a.c' is a list of 1, so it has no index 3");
  EXPECT_EQ(message("a..b", "1"),
            "--set: 'a..b': a name is missing in the path\n"
            "a path looks like train.epochs or model.layers[0].dense.units");
  EXPECT_EQ(message("", "1").substr(0, 44), "--set: '': a name is missing in the path\na p");
  EXPECT_EQ(message("a.c[x]", "1").substr(0, 35), "--set: 'a.c[x]': 'x' is not an inde");
  EXPECT_EQ(message("a.c[0", "1").substr(0, 41), "--set: 'a.c[0': expected '[index]' after ");
  EXPECT_EQ(message("a.new.c", "[1").substr(0, 24), "--set: 'a.new.c': value:");
  EXPECT_EQ(root.ToYaml(), before);
}

TEST(ConfigTest, ToYamlIsBlockStyleWithShortListsInline) {
  const std::string text =
      "data: mnist\n"
      "shape: [28, 28]\n"
      "layers:\n"
      "  - dense:\n"
      "      units: 64\n"
      "      activation: relu\n"
      "  - - a: 1\n"
      "    - [1, 2]\n"
      "none: null\n"
      "empty: {}\n"
      "also: []\n";
  EXPECT_EQ(ParseConfig(text, "j").ToYaml(), text);
}

TEST(ConfigTest, ToYamlQuotesWhatNeedsIt) {
  const char* scalars[] = {"",
                           "null",
                           "~",
                           "Null",
                           "a: b",
                           "a #b",
                           "#x",
                           "- a",
                           "-",
                           "*x",
                           "&x",
                           "!tag",
                           "[a",
                           "a, b",
                           "{",
                           "'q'",
                           "\"q\"",
                           "a\nb",
                           "a\tb",
                           " lead",
                           "tail ",
                           "%dir",
                           "@at",
                           "`tick",
                           "a\\b",
                           "---",
                           "...",
                           "?",
                           "? a",
                           ":",
                           "x:",
                           "|",
                           ">",
                           "\x01\x1f",
                           "a\x7f",
                           "gr\xc3\xbcn",
                           "1.5",
                           "-3",
                           "-.5",
                           ".5",
                           "true",
                           "a  b",
                           "2026-01-01T10:00:00",
                           "<<",
                           "=",
                           "-x",
                           "+",
                           "a\r\nb",
                           "\xc2\x85",
                           "\xe2\x80\xa8",
                           "\xef\xbb\xbf",
                           "path/to/file-1.0.txt",
                           "- ",
                           "1e-05",
                           "a-b",
                           "-1 x",
                           "a\x04z",
                           "100%",
                           ".",
                           "..",
                           "-."};
  for (const char* text : scalars) {
    const ConfigNode scalar = ConfigNode::Scalar(text);
    const ConfigNode map = ConfigNode::Map({{"k", scalar}});
    const ConfigNode list = ConfigNode::List({scalar, ConfigNode::List({scalar, scalar})});
    const ConfigNode key = ConfigNode::Map({{text, ConfigNode::Map({{text, scalar}})}});
    for (const ConfigNode* node : {&scalar, &map, &list, &key}) {
      const std::string yaml = node->ToYaml();
      EXPECT_TRUE(Same(*node, ParseConfig(yaml, "j"))) << "[" << text << "] as\n" << yaml;
    }
  }
  EXPECT_EQ(ConfigNode::Scalar("path/to/file-1.0.txt").ToYaml(), "path/to/file-1.0.txt\n");
  EXPECT_EQ(ConfigNode::Scalar("-3").ToYaml(), "-3\n");
  EXPECT_EQ(ConfigNode::Scalar("null").ToYaml(), "\"null\"\n");
}

TEST(ConfigTest, LongListsAreWrittenInBlocks) {
  std::vector<ConfigNode> items;
  for (int i = 0; i < 100; ++i) items.push_back(ConfigNode::Scalar(std::to_string(i)));
  const ConfigNode map = ConfigNode::Map({{"k", ConfigNode::List(items)}});
  EXPECT_EQ(map.ToYaml().substr(0, 16), "k:\n  - 0\n  - 1\n ");
  EXPECT_TRUE(Same(map, ParseConfig(map.ToYaml(), "j")));
}

TEST(ConfigTest, LoadConfigSaysThatTheFileIsMissing) {
  try {
    LoadConfig("no-such-folder/job.yaml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_EQ(error.message(), "cannot read 'no-such-folder/job.yaml': No such file or directory");
    EXPECT_EQ(error.hint(), "the folder 'no-such-folder' does not exist");
  }
}

}  // namespace
}  // namespace ingot
