// Option tables: strict reading, writing, help texts, and every message.
#include "ingot/base/options.h"

#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include "ingot/base/error.h"

namespace ingot {
namespace {

struct AdamOptions {
  double learning_rate = 0.001;
  double beta1 = 0.9;
};

struct LayerOptions {
  int64_t units = 0;
  std::string activation = "linear";
};

struct TrainOptions {
  int64_t epochs = 10;
  std::optional<int64_t> steps;
  bool evaluate = true;
  std::string name = "run";
  std::vector<double> mean = {0.5};
  std::vector<std::string> metrics;
  AdamOptions adam;
  std::optional<AdamOptions> other;
  std::vector<LayerOptions> layers;
  ConfigNode extra;
};

const OptionTable<AdamOptions>& AdamTable() {
  static const auto table =
      OptionTable<AdamOptions>("adam", "Adam (Kingma & Ba 2015)")
          .Add("learning_rate", &AdamOptions::learning_rate, "step size", MoreThan(0))
          .Add("beta1", &AdamOptions::beta1, "decay of the first moment", Between(0, 1));
  return table;
}

const OptionTable<LayerOptions>& LayerTable() {
  static const auto table = OptionTable<LayerOptions>("dense", "a dense layer")
                                .Add("units", &LayerOptions::units, "outputs", AtLeast(1))
                                .AddChoice("activation", &LayerOptions::activation, "what follows",
                                           {"linear", "relu", "tanh"})
                                .Required("units")
                                .Shorthand("units");
  return table;
}

const OptionTable<TrainOptions>& TrainTable() {
  static const auto table =
      OptionTable<TrainOptions>("train", "training")
          .Add("epochs", &TrainOptions::epochs, "passes over the data", AtLeast(1))
          .Add("steps", &TrainOptions::steps, "stop after so many steps", AtLeast(1))
          .Add("evaluate", &TrainOptions::evaluate, "evaluate at the end")
          .Add("name", &TrainOptions::name, "name of the run")
          .Add("mean", &TrainOptions::mean, "mean of each channel", AtLeast(0))
          .Add("metrics", &TrainOptions::metrics, "what to measure")
          .AddTable("adam", &TrainOptions::adam, AdamTable(), "the optimizer")
          .AddTable("other", &TrainOptions::other, AdamTable(), "another optimizer")
          .AddList("layers", &TrainOptions::layers, LayerTable(), "the network")
          .AddNode("extra", &TrainOptions::extra, "anything");
  return table;
}

TrainOptions Read(const std::string& text) {
  const ConfigNode root = ParseConfig(text, "mnist.yaml");
  return TrainTable().Read(root.Find("train") != nullptr ? *root.Find("train") : root);
}

std::string ErrorOf(const std::string& text) {
  try {
    Read(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
    return error.what();
  }
  return "no error";
}

TEST(OptionsTest, DefaultsComeFromTheStruct) {
  const TrainOptions options = Read("");
  EXPECT_EQ(options.epochs, 10);
  EXPECT_FALSE(options.steps.has_value());
  EXPECT_EQ(options.mean, std::vector<double>{0.5});
  EXPECT_FALSE(options.other.has_value());
}

TEST(OptionsTest, ReadsEveryType) {
  const TrainOptions options = Read(
      "epochs: 1_000\nsteps: 1e6\nevaluate: off\nname: \"7\"\nmean: [0.25, 1]\n"
      "metrics: [loss, accuracy]\nadam: {learning_rate: .5}\nother: {beta1: 1}\n"
      "layers:\n  - 64\n  - units: 10\n    activation: relu\nextra: {a: [1]}\n");
  EXPECT_EQ(options.epochs, 1000);
  EXPECT_EQ(options.steps, 1'000'000);
  EXPECT_FALSE(options.evaluate);
  EXPECT_EQ(options.name, "7");
  EXPECT_EQ(options.mean, (std::vector<double>{0.25, 1}));
  EXPECT_EQ(options.metrics, (std::vector<std::string>{"loss", "accuracy"}));
  EXPECT_EQ(options.adam.learning_rate, 0.5);
  EXPECT_EQ(options.adam.beta1, 0.9);
  ASSERT_TRUE(options.other.has_value());
  EXPECT_EQ(options.other->beta1, 1);
  ASSERT_EQ(options.layers.size(), 2u);
  EXPECT_EQ(options.layers[0].units, 64);
  EXPECT_EQ(options.layers[1].activation, "relu");
  EXPECT_EQ(options.extra.ToYaml(), "a: [1]\n");
}

TEST(OptionsTest, NullIsNoneForOptionalsAndDefaultsForTables) {
  const TrainOptions options = Read("steps:\nadam:\nother: ~\n");
  EXPECT_FALSE(options.steps.has_value());
  EXPECT_EQ(options.adam.learning_rate, 0.001);
  // A table that is named is there, with its defaults.
  EXPECT_TRUE(options.other.has_value());
}

TEST(OptionsTest, UnknownKeysGetASuggestion) {
  EXPECT_EQ(ErrorOf("# 1\n# 2\n# 3\n# 4\n# 5\ntrain:\n  epoch: 3\n"),
            "mnist.yaml:7:3: train.epoch: unknown key\n  hint: did you mean 'epochs'?");
  EXPECT_EQ(ErrorOf("train:\n  adam:\n    learning_rat: 3\n"),
            "mnist.yaml:3:5: train.adam.learning_rat: unknown key\n"
            "  hint: did you mean 'learning_rate'?");
  EXPECT_EQ(ErrorOf("layers:\n  - units: 1\n  - unit: 3\n"),
            "mnist.yaml:3:5: layers[1].unit: unknown key\n  hint: did you mean 'units'?");
  EXPECT_EQ(ErrorOf("adam: {zzzzzz: 1}\n"),
            "mnist.yaml:1:8: adam.zzzzzz: unknown key\n"
            "  hint: expected one of: learning_rate, beta1");
  EXPECT_EQ(ErrorOf("adam: {beta.1: 1}\n"),
            "mnist.yaml:1:8: adam.beta.1: unknown key\n  hint: did you mean 'beta1'?");
}

TEST(OptionsTest, WrongTypesSayWhatWasExpectedAndWhatStandsThere) {
  EXPECT_EQ(ErrorOf("train:\n  epochs: ten\n"),
            "mnist.yaml:2:11: train.epochs: expected a whole number, got 'ten'");
  EXPECT_EQ(ErrorOf("epochs: 2.5\n"), "mnist.yaml:1:9: epochs: expected a whole number, got '2.5'");
  EXPECT_EQ(ErrorOf("epochs: [1]\n"),
            "mnist.yaml:1:9: epochs: expected a whole number, got a list of 1");
  EXPECT_EQ(ErrorOf("epochs:\n"), "mnist.yaml:1:1: epochs: expected a whole number, got nothing");
  EXPECT_EQ(ErrorOf("epochs: 1e30\n"),
            "mnist.yaml:1:9: epochs: expected a whole number of at most 64 bits, got '1e30'");
  EXPECT_EQ(ErrorOf("evaluate: maybe\n"),
            "mnist.yaml:1:11: evaluate: expected true or false, got 'maybe'");
  EXPECT_EQ(ErrorOf("name: {a: 1}\n"),
            "mnist.yaml:1:7: name: expected text, got a map with the key a");
  EXPECT_EQ(ErrorOf("mean: 0.5\n"),
            "mnist.yaml:1:7: mean: expected a list of numbers >= 0, got '0.5'\n"
            "  hint: write it in brackets: [...]");
  EXPECT_EQ(ErrorOf("mean: [1, x]\n"), "mnist.yaml:1:11: mean[1]: expected a number, got 'x'");
  EXPECT_EQ(ErrorOf("adam: sgd\n"),
            "mnist.yaml:1:7: adam: expected a map of the options of 'adam', got 'sgd'");
  EXPECT_EQ(ErrorOf("layers: {a: 1}\n"),
            "mnist.yaml:1:9: layers: expected a list of maps, got a map with the key a");
  EXPECT_EQ(ErrorOf("layers: [wide]\n"),
            "mnist.yaml:1:10: layers[0]: expected a whole number, got 'wide'");
  EXPECT_EQ(ErrorOf("adam: {learning_rate: nan}\n"),
            "mnist.yaml:1:23: adam.learning_rate: expected a finite number, got 'nan'");
  EXPECT_EQ(ErrorOf("adam: {learning_rate: 1e999}\n"),
            "mnist.yaml:1:23: adam.learning_rate: expected a number that a 64-bit float can hold, "
            "got '1e999'");
}

TEST(OptionsTest, LimitsAreChecked) {
  EXPECT_EQ(ErrorOf("epochs: 0\n"), "mnist.yaml:1:9: epochs: expected a number >= 1, got 0");
  EXPECT_EQ(ErrorOf("adam: {learning_rate: 0}\n"),
            "mnist.yaml:1:23: adam.learning_rate: expected a number > 0, got 0");
  EXPECT_EQ(ErrorOf("adam: {beta1: 1.5}\n"),
            "mnist.yaml:1:15: adam.beta1: expected a number from 0 to 1, got 1.5");
  EXPECT_EQ(ErrorOf("mean: [1, -2]\n"), "mnist.yaml:1:11: mean[1]: expected a number >= 0, got -2");
}

TEST(OptionsTest, ChoicesAreChecked) {
  EXPECT_EQ(ErrorOf("layers: [{units: 1, activation: rely}]\n"),
            "mnist.yaml:1:33: layers[0].activation: expected one of: linear, relu, tanh; got "
            "'rely'\n  hint: did you mean 'relu'?");
}

TEST(OptionsTest, MissingOptionsAreNamed) {
  EXPECT_EQ(ErrorOf("layers:\n  - activation: relu\n"),
            "mnist.yaml:2:5: layers[0]: 'units' is missing\n"
            "  hint: add 'units: ...' (whole number >= 1): outputs");
}

TEST(OptionsTest, ShortFormsGoWithKeysThatAreSetBelowThem) {
  ConfigNode root = ParseConfig("layers: [64, 32]\nadam: fast\n", "mnist.yaml");
  root.SetPath("layers[0].activation", "relu");
  root.SetPath("layers[1].units", "16");
  ConfigNode wrong = root;
  root.SetPath("adam", "{}");
  const TrainOptions options = TrainTable().Read(root);
  EXPECT_EQ(options.layers[0].units, 64);
  EXPECT_EQ(options.layers[0].activation, "relu");
  EXPECT_EQ(options.layers[1].units, 16);
  // A table without a short form refuses what stands there.
  wrong.SetPath("adam.beta1", "0.5");
  try {
    TrainTable().Read(wrong);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "mnist.yaml:2:7: adam: expected a map of the options of 'adam', got 'fast' with keys "
              "set below it");
  }
}

TEST(OptionsTest, CommandLineValuesSayWhereTheyComeFrom) {
  ConfigNode root = ParseConfig("epochs: 1\n", "mnist.yaml");
  root.SetPath("adam.beta1", "x");
  try {
    TrainTable().Read(root);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "--set: adam.beta1: expected a number, got 'x'");
  }
}

TEST(OptionsTest, WriteReadsBackTheSame) {
  const std::string text =
      "epochs: 3\nsteps: 7\nevaluate: false\nname: \"a: b\"\nmean: [0.1307, 1e-05]\n"
      "metrics: [loss]\nadam:\n  learning_rate: 0.01\n  beta1: 0.5\n"
      "layers:\n  - units: 64\n    activation: relu\nextra: [1]\n";
  EXPECT_EQ(TrainTable().Write(Read(text)).ToYaml(), text);
  const std::string defaults = TrainTable().Write(TrainOptions()).ToYaml();
  EXPECT_EQ(defaults,
            "epochs: 10\nevaluate: true\nname: run\nmean: [0.5]\nmetrics: []\n"
            "adam:\n  learning_rate: 0.001\n  beta1: 0.9\nlayers: []\n");
  EXPECT_EQ(TrainTable().Write(Read(defaults)).ToYaml(), defaults);
}

TEST(OptionsTest, HelpListsEveryOption) {
  std::string text;
  for (const OptionHelp& row : TrainTable().Help("train")) {
    text += row.path + " | " + row.type + " | " + row.default_value + " | " + row.help + "\n";
  }
  EXPECT_EQ(text,
            "train.epochs | whole number >= 1 | 10 | passes over the data\n"
            "train.steps | whole number >= 1 |  | stop after so many steps\n"
            "train.evaluate | true or false | true | evaluate at the end\n"
            "train.name | text | run | name of the run\n"
            "train.mean | list of numbers >= 0 | [0.5] | mean of each channel\n"
            "train.metrics | list of texts | [] | what to measure\n"
            "train.adam | map |  | the optimizer\n"
            "train.adam.learning_rate | number > 0 | 0.001 | step size\n"
            "train.adam.beta1 | number from 0 to 1 | 0.9 | decay of the first moment\n"
            "train.other | map |  | another optimizer\n"
            "train.other.learning_rate | number > 0 | 0.001 | step size\n"
            "train.other.beta1 | number from 0 to 1 | 0.9 | decay of the first moment\n"
            "train.layers | list of maps |  | the network\n"
            "train.layers[].units | whole number >= 1 |  | outputs\n"
            "train.layers[].activation | one of: linear, relu, tanh | linear | what follows\n"
            "train.extra | YAML |  | anything\n");
}

TEST(OptionsTest, NumbersAreReadAsWritten) {
  const auto whole = [](const std::string& text) {
    return ReadScalar<int64_t>(ConfigNode::Scalar(text));
  };
  EXPECT_EQ(whole("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(whole("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(whole("+5"), 5);
  EXPECT_EQ(whole("1_000_000"), 1'000'000);
  EXPECT_EQ(whole("1.5e3"), 1500);
  for (const char* bad : {"", "_1", "1_", "1__0", "0x10", "+-5", "--5", "1 000", "1,000", "e5",
                          "9223372036854775808", "-", "+", "1e", "true", "nan", ".inf"}) {
    EXPECT_THROW(whole(bad), Error) << bad;
    if (std::string(bad) != "9223372036854775808") {
      EXPECT_THROW(ReadScalar<double>(ConfigNode::Scalar(bad)), Error) << bad;
    }
  }
  for (const double value : {0.1, 1e-300, 1.0 / 3, -2.5, 1e22, 0.0, 12345678.9}) {
    EXPECT_EQ(ReadScalar<double>(WriteScalar(value)), value);
  }
  EXPECT_EQ(ReadScalar<int64_t>(WriteScalar(int64_t{-42})), -42);
  EXPECT_TRUE(ReadScalar<bool>(WriteScalar(true)));
  EXPECT_TRUE(ReadScalar<bool>(ConfigNode::Scalar("Yes")));
  EXPECT_FALSE(ReadScalar<bool>(ConfigNode::Scalar("NO")));
}

struct SharedOptions {
  int64_t size = 3;
  std::string fit = "crop";
  ConfigNode extra;
  std::optional<AdamOptions> other;
  std::vector<LayerOptions> layers;
};
struct DerivedOptions : SharedOptions {
  std::string name;
};

TEST(OptionTableTest, MembersMayBeThoseOfABase) {
  const auto table = OptionTable<DerivedOptions>("derived", "")
                         .Add("size", &SharedOptions::size, "")
                         .AddChoice("fit", &DerivedOptions::fit, "", {"crop", "stretch"})
                         .AddNode("extra", &SharedOptions::extra, "")
                         .AddTable("other", &SharedOptions::other, AdamTable(), "")
                         .AddList("layers", &SharedOptions::layers, LayerTable(), "")
                         .Add("name", &DerivedOptions::name, "");
  const DerivedOptions options = table.Read(ParseConfig(
      "size: 5\nfit: stretch\nextra: 7\nother: {beta1: 0.5}\nlayers: [8]\nname: a\n", "test"));
  EXPECT_EQ(options.size, 5);
  EXPECT_EQ(options.fit, "stretch");
  EXPECT_EQ(options.extra.scalar(), "7");
  ASSERT_TRUE(options.other.has_value());
  EXPECT_EQ(options.other->beta1, 0.5);
  ASSERT_EQ(options.layers.size(), 1u);
  EXPECT_EQ(options.layers[0].units, 8);
  EXPECT_EQ(options.name, "a");
  EXPECT_EQ(table.Read(table.Write(options)).layers[0].units, 8);
}

}  // namespace
}  // namespace ingot
