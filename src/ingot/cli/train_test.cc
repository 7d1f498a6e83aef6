// train, eval, predict and graph, run inside this process on the slice of MNIST and small tables.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"
#include "ingot/formats/image.h"
#include "ingot/formats/npy.h"
#include "ingot/train/job.h"

namespace ingot::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kMnist = INGOT_SOURCE_DIR "/tests/data/mnist";
constexpr const char* kTestImages = INGOT_SOURCE_DIR "/tests/data/mnist/t10k-images-idx3-ubyte.gz";
constexpr const char* kJob = INGOT_SOURCE_DIR "/examples/mnist/mnist.yaml";

void WriteBytes(const std::string& path, const std::vector<std::byte>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

size_t Lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// A run of one epoch, made once for all tests that only read it.
class RunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TestFolder;
    const Outcome outcome = RunProgram({"train", kJob, "--data", kMnist, "--out", Run(), "--epochs",
                                        "2", "--threads", "2", "--seed", "3"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    out_ = new std::string(outcome.out);
    err_ = new std::string(outcome.err);
  }
  static void TearDownTestSuite() {
    delete folder_;
    delete out_;
    delete err_;
  }
  static std::string Run() { return *folder_ / "run"; }

  static TestFolder* folder_;
  static std::string* out_;
  static std::string* err_;
};
TestFolder* RunTest::folder_ = nullptr;
std::string* RunTest::out_ = nullptr;
std::string* RunTest::err_ = nullptr;

TEST_F(RunTest, TrainSaysWhatItDid) {
  EXPECT_THAT(*out_, AllOf(HasSubstr("test accuracy"), HasSubstr("test loss"),
                           HasSubstr("steps          32"), HasSubstr("run            " + Run())));
  EXPECT_THAT(*err_, AllOf(HasSubstr("50,890 parameters"), HasSubstr("epoch 2  loss")));
  const auto summary = nlohmann::json::parse(ReadFile(Run() + "/summary.json"));
  EXPECT_EQ(summary["seed"], 3);
  EXPECT_EQ(summary["threads"], 2);
  EXPECT_EQ(summary["steps"], 32);
}

TEST_F(RunTest, AFolderThatIsNotEmptyIsRefused) {
  const Outcome outcome = RunProgram({"train", kJob, "--data", kMnist, "--out", Run()});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("is not empty"), HasSubstr("--resume"), HasSubstr("--overwrite")));
}

TEST_F(RunTest, EvalAgreesWithTheEndOfTraining) {
  const Outcome text = RunProgram({"eval", Run()});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("accuracy"), HasSubstr("precision"), HasSubstr("recall"),
                              HasSubstr("F1"), HasSubstr("AUC"), HasSubstr("confusion matrix"),
                              HasSubstr("of 500 samples")));
  const auto json = nlohmann::json::parse(RunProgram({"eval", Run(), "--json"}).out);
  const auto summary = nlohmann::json::parse(ReadFile(Run() + "/summary.json"));
  EXPECT_EQ(json["accuracy"], summary["test_accuracy"]);
  EXPECT_EQ(json["loss"], summary["test_loss"]);
  EXPECT_EQ(json["samples"], 500);
  int64_t right = 0;
  for (size_t c = 0; c < 10; ++c) right += json["confusion"][c][c].get<int64_t>();
  EXPECT_DOUBLE_EQ(static_cast<double>(right) / 500, json["accuracy"].get<double>());
}

TEST_F(RunTest, EvalFindsTheWorstSamples) {
  const std::string sheet = *folder_ / "worst.png";
  const Outcome outcome = RunProgram({"eval", Run(), "--worst", "500", "--sheet", sheet, "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(json["worst"].size(), 500u);
  // All of them: the mean of -log p of the labels is the loss, and those whose label is not what
  // was predicted are the errors.
  double loss = 0;
  int errors = 0;
  double last = 0;
  std::vector<bool> seen(500);
  for (const auto& sample : json["worst"]) {
    const auto p = sample["probability"].get<double>();
    EXPECT_GE(p, last);
    last = p;
    loss -= std::log(p) / 500;
    errors += sample["label"] != sample["predicted"] ? 1 : 0;
    seen[sample["index"].get<size_t>()] = true;
    EXPECT_GE(sample["probability_of_predicted"].get<double>(), p);
  }
  EXPECT_NEAR(loss, json["loss"].get<double>(), 1e-4);
  EXPECT_NEAR(1 - errors / 500.0, json["accuracy"].get<double>(), 1e-9);
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 500);
  EXPECT_EQ(formats::ReadPng(sheet).shape()[2], 3);
  const Outcome three = RunProgram({"eval", Run(), "--worst", "3"});
  EXPECT_THAT(three.out, HasSubstr("worst classified"));
  const auto worst = json["worst"][0];
  EXPECT_THAT(three.out, HasSubstr("t10k-images"));
  // What predict says about the worst of them is what eval says.
  const auto predicted =
      nlohmann::json::parse(RunProgram({"predict", Run(), kTestImages, "--index",
                                        std::to_string(worst["index"].get<int>()), "--json"})
                                .out);
  EXPECT_EQ(predicted["prediction"], worst["predicted"]);
  EXPECT_NEAR(predicted["probabilities"][worst["label"].get<std::string>()].get<double>(),
              worst["probability"].get<double>(), 1e-5);
}

TEST_F(RunTest, EvalDrawsTheConfusionMatrix) {
  const std::string svg = *folder_ / "confusion.svg";
  const Outcome outcome = RunProgram({"eval", Run(), "--confusion", svg, "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto confusion = nlohmann::json::parse(outcome.out)["confusion"];
  const std::string text = ReadFile(svg);
  EXPECT_THAT(text,
              AllOf(HasSubstr(">predicted<"), HasSubstr(">label<"), HasSubstr("500 samples")));
  for (const auto& row : confusion) {
    for (const auto& count : row) {
      if (count != 0) {
        EXPECT_THAT(text, HasSubstr(">" + count.dump() + "</text>"));
      }
    }
  }
  EXPECT_EQ(RunProgram({"eval", Run(), "--confusion", *folder_ / "c.png"}).status, 0);
  EXPECT_GT(formats::ReadPng(*folder_ / "c.png").shape()[0], 600);
  EXPECT_THAT(RunProgram({"eval", Run(), "--confusion", "c.gif"}).err,
              HasSubstr("--confusion: 'c.gif' is neither an .svg nor a .png"));
  EXPECT_THAT(RunProgram({"eval", Run(), "--sheet", "c.svg"}).err, HasSubstr("is not a .png"));
}

TEST_F(RunTest, EvalNamesWhatIsNotThere) {
  EXPECT_EQ(RunProgram({"eval", Run() + "x"}).status, 2);
  EXPECT_THAT(RunProgram({"eval", Run() + "x"}).err, HasSubstr("does not exist"));
  EXPECT_THAT(RunProgram({"eval", kMnist}).err,
              HasSubstr("is no run directory: it holds no job.yaml"));
  EXPECT_THAT(RunProgram({"eval", Run(), "--checkpoint", "finale"}).err,
              HasSubstr("did you mean 'final'?"));
  EXPECT_THAT(RunProgram({"eval", Run(), "--data", Run() + "/nowhere"}).err,
              HasSubstr("--data: the folder '" + Run() + "/nowhere' does not exist"));
}

TEST_F(RunTest, ACheckpointIsANameInTheRun) {
  for (const char* name : {"../..", "..", ".", "../checkpoints/final", "/tmp"}) {
    const Outcome outcome = RunProgram({"eval", Run(), "--checkpoint", name});
    EXPECT_EQ(outcome.status, 2) << name;
    EXPECT_THAT(outcome.err, HasSubstr("is no name of a checkpoint")) << name;
  }
}

TEST_F(RunTest, PredictShowsTheProbabilitiesOfOneRow) {
  const Outcome text = RunProgram({"predict", Run(), kTestImages, "--index", "17"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_EQ(Lines(text.out), 12u) << text.out;  // the prediction, an empty line, ten bars
  const auto json = nlohmann::json::parse(
      RunProgram({"predict", Run(), kTestImages, "--index", "17", "--json"}).out);
  double sum = 0;
  double largest = 0;
  for (const auto& probability : json["probabilities"]) {
    sum += probability.get<double>();
    largest = std::max(largest, probability.get<double>());
  }
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_EQ(json["probabilities"][json["prediction"].get<std::string>()], largest);
}

// The accuracy and the mean log-likelihood of the predictions are those that eval gives.
TEST_F(RunTest, PredictionsOfAllRowsAgreeWithEval) {
  const std::string csv = *folder_ / "predictions.csv";
  const Outcome outcome = RunProgram({"predict", Run(), kTestImages, "--out", csv});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "500 predictions written to " + csv + "\n");
  const std::string text = ReadFile(csv);
  EXPECT_EQ(Lines(text), 501u);
  EXPECT_THAT(text, ::testing::StartsWith("row,prediction,probability_0,probability_1,"));
  EXPECT_EQ(RunProgram({"predict", Run(), kTestImages, "--out", "-"}).out, text);
  const auto one = nlohmann::json::parse(
      RunProgram({"predict", Run(), kTestImages, "--index", "499", "--json"}).out);
  EXPECT_THAT(text, HasSubstr("\n499," + one["prediction"].get<std::string>() + ","));
}

// The last layer of the job is a softmax: its outputs are the probabilities, not scores to be
// normalised a second time, which no probability above 0.24 would survive.
TEST_F(RunTest, ProbabilitiesAreNormalisedOnce) {
  double largest = 0;
  for (const char* index : {"0", "1", "2", "3", "4"}) {
    const auto json = nlohmann::json::parse(
        RunProgram({"predict", Run(), kTestImages, "--index", index, "--json"}).out);
    for (const auto& probability : json["probabilities"]) {
      largest = std::max(largest, probability.get<double>());
    }
  }
  EXPECT_GT(largest, 0.3);
}

TEST_F(RunTest, PredictTakesPicturesAndArrays) {
  const Tensor picture(DType::kU8, Shape{28, 28, 1});
  WriteBytes(*folder_ / "p.png", formats::EncodePng(picture));
  const Outcome of_picture = RunProgram({"predict", Run(), *folder_ / "p.png", "--json"});
  EXPECT_EQ(of_picture.status, 0) << of_picture.err;
  WriteBytes(*folder_ / "one.npy", formats::EncodeNpy(picture.Reshape(Shape{28, 28})));
  EXPECT_EQ(RunProgram({"predict", Run(), *folder_ / "one.npy", "--json"}).out, of_picture.out);
  const Tensor three(DType::kU8, Shape{3, 28, 28});
  WriteBytes(*folder_ / "three.npy", formats::EncodeNpy(three));
  const Outcome of_three = RunProgram({"predict", Run(), *folder_ / "three.npy", "--out", "-"});
  EXPECT_EQ(Lines(of_three.out), 4u) << of_three.err;
  std::string row = "0";
  for (int i = 1; i < 784; ++i) row += ",0";
  WriteTestFile(*folder_ / "rows.csv", row + "\n" + row + "\n");
  const Outcome of_rows = RunProgram({"predict", Run(), *folder_ / "rows.csv", "--out", "-"});
  EXPECT_EQ(Lines(of_rows.out), 3u) << of_rows.err;
}

TEST_F(RunTest, PredictReadsPipes) {
  const std::string pipe = *folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { WriteTestFile(pipe, ReadFile(kTestImages)); });
  const Outcome outcome = RunProgram({"predict", Run(), pipe, "--out", "-"});
  writer.join();
  EXPECT_EQ(outcome.out, RunProgram({"predict", Run(), kTestImages, "--out", "-"}).out)
      << outcome.err;
}

TEST_F(RunTest, PredictKeepsALinkThatIsItsOutput) {
  std::filesystem::create_symlink("target.csv", *folder_ / "link.csv");
  ASSERT_EQ(RunProgram({"predict", Run(), kTestImages, "--out", *folder_ / "link.csv"}).status, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(*folder_ / "link.csv"));
  EXPECT_EQ(Lines(ReadFile(*folder_ / "target.csv")), 501u);
}

TEST_F(RunTest, PredictSaysWhatTheModelTakes) {
  WriteBytes(*folder_ / "small.png", formats::EncodePng(Tensor(DType::kU8, Shape{3, 5, 1})));
  const Outcome small = RunProgram({"predict", Run(), *folder_ / "small.png"});
  EXPECT_EQ(small.status, 2);
  EXPECT_THAT(small.err, HasSubstr("is 5 x 3 pixels, but the model takes 28 x 28 (grey)"));
  WriteBytes(*folder_ / "f.npy", formats::EncodeNpy(Tensor(DType::kF32, Shape{2, 28, 28})));
  EXPECT_THAT(RunProgram({"predict", Run(), *folder_ / "f.npy"}).err,
              HasSubstr("holds f32[2, 28, 28], but the model takes u8[n, 28, 28]"));
  WriteTestFile(*folder_ / "narrow.csv", "1,2,3\n");
  EXPECT_THAT(RunProgram({"predict", Run(), *folder_ / "narrow.csv"}).err,
              HasSubstr("narrow.csv:1: 3 columns, but a sample of the model has 784 numbers"));
  EXPECT_THAT(RunProgram({"predict", Run(), kTestImages, "--index", "500"}).err,
              HasSubstr("has 500 rows, counted from 0"));
  EXPECT_THAT(RunProgram({"predict", Run(), *folder_ / "absent.png"}).err,
              HasSubstr("No such file"));
  EXPECT_THAT(RunProgram({"predict", Run(), INGOT_SOURCE_DIR "/tests/data/formats/photo.jpg"}).err,
              HasSubstr("photo.jpg' is 5 x 3 pixels, but the model takes 28 x 28"));
  WriteTestFile(*folder_ / "noise", std::string("\x01\x02\x03", 3));
  EXPECT_THAT(RunProgram({"predict", Run(), *folder_ / "noise"}).err,
              HasSubstr("is no PNG, JPEG, IDX, npy or CSV file"));
}

TEST_F(RunTest, ResumeGoesOnPastTheEnd) {
  const TestFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(RunProgram({"train", kJob, "--data", kMnist, "--out", run, "--epochs", "1"}).status, 0);
  const Outcome outcome = RunProgram({"train", "--resume", run, "--epochs", "2", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const auto summary = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(summary["resumed_from_step"], 16);
  EXPECT_EQ(summary["steps"], 32);
  const std::string job = ReadFile(run + "/job.yaml");
  const std::string weights = ReadFile(run + "/checkpoints/final/model.safetensors");
  const Outcome shorter = RunProgram({"train", "--resume", run, "--epochs", "1"});
  EXPECT_EQ(shorter.status, 0) << shorter.err;
  EXPECT_THAT(shorter.err,
              HasSubstr("the run is at step 32 already (epoch 2), past the 16 steps that are asked "
                        "for: nothing is trained"));
  EXPECT_EQ(ReadFile(run + "/job.yaml"), job);
  EXPECT_EQ(ReadFile(run + "/checkpoints/final/model.safetensors"), weights);
  const Outcome other = RunProgram({"train", "--resume", run, "--set", "optimizer.adam.beta1=0.8"});
  EXPECT_EQ(other.status, 2);
  EXPECT_THAT(other.err, AllOf(HasSubstr("no longer fits"),
                               HasSubstr("optimizer.adam.beta1 was 0.9, is 0.8")));
}

TEST(TrainUsageTest, WhatExcludesWhat) {
  EXPECT_THAT(RunProgram({"train"}).err, HasSubstr("`ingot train` needs a JOB or --resume DIR"));
  EXPECT_THAT(RunProgram({"launch"}).err, HasSubstr("`ingot launch` needs a JOB or --resume DIR"));
  // The checks before a run are made by one process.
  EXPECT_THAT(RunProgram({"launch", kJob, "--find-learning-rate"}).err,
              HasSubstr("unknown option '--find-learning-rate' for `ingot launch`"));
  EXPECT_EQ(RunProgram({"train"}).status, 2);
  EXPECT_THAT(RunProgram({"train", "--resume", "x", "--overwrite"}).err,
              HasSubstr("--resume and --overwrite exclude each other"));
  EXPECT_THAT(RunProgram({"train", "--resume", "x", "--out", "y"}).err,
              HasSubstr("--resume and --out exclude each other"));
  EXPECT_THAT(RunProgram({"train", kJob, "--check-steps", "5"}).err,
              HasSubstr("--check-steps is of --find-learning-rate or --overfit-one-batch"));
  EXPECT_THAT(RunProgram({"train", kJob, "--data", kMnist, "--profile-file", "no/such/p.json"}).err,
              HasSubstr("--profile-file: the folder 'no/such' does not exist"));
  EXPECT_THAT(RunProgram({"train", "--resume", "no/such/run"}).err,
              HasSubstr("the run directory 'no/such/run' does not exist"));
}

// A run of a given number of steps measures the machine where it is not remembered yet.
TEST(TrainRatesTest, SummaryComparesTheStepWithTheMachinesProducts) {
  const TestFolder folder;
  ASSERT_EQ(::setenv("INGOT_CACHE", (folder / "cache").c_str(), 1), 0);
  const std::string run = folder / "run";
  const Outcome outcome = RunProgram(
      {"train", kJob, "--data", kMnist, "--out", run, "--set", "steps=20", "--threads", "1"});
  const Outcome info = RunProgram({"info", "--peak", "--threads", "1", "--json"});
  ::unsetenv("INGOT_CACHE");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("GFLOP/s, "));
  const auto summary = nlohmann::json::parse(ReadFile(run + "/summary.json"));
  EXPECT_GT(summary["gemm_peak_gflops"].get<double>(), 0);
  EXPECT_FALSE(summary.contains("gemm_peak_reason"));
  // The median step's microseconds times its rate are the products of 128 samples: forward, and
  // twice as much backward but for the gradient of the pictures.
  const double flops = 128 * 2.0 * (784 * 64 * 2 + 64 * 10 * 3);
  EXPECT_NEAR(summary["gflops"].get<double>() * 1e3 *
                  summary["step_microseconds_median"].get<double>() / flops,
              1, 1e-6);
  // Remembered, so that it is the same number.
  EXPECT_EQ(nlohmann::json::parse(info.out)["gemm_peak_gflops"], summary["gemm_peak_gflops"]);
}

// The phases follow one another: together they are the time of the process.
TEST(TrainTimesTest, TheTimeOfARunIsAccountedFor) {
  const TestFolder folder;
  const std::string run = folder / "run";
  const Outcome outcome =
      RunProgram({"train", kJob, "--data", kMnist, "--out", run, "--epochs", "3", "--profile"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("where the time went"));
  const auto summary = nlohmann::json::parse(ReadFile(run + "/summary.json"));
  double sum = 0;
  for (const auto& [name, seconds] : summary["time"].items()) sum += seconds.get<double>();
  EXPECT_NEAR(sum / summary["wall_seconds"].get<double>(), 1, 0.01);
  for (const char* name : {"products", "data", "update", "start-up", "checkpoints", "test"}) {
    EXPECT_GT(summary["time"][name].get<double>(), 0) << name;
  }
  const auto trace = nlohmann::json::parse(ReadFile(run + "/profile.json"));
  std::set<std::string> categories;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X") categories.insert(event["cat"].get<std::string>());
  }
  EXPECT_THAT(categories, ::testing::IsSupersetOf({"task", "products", "data", "update"}));
  EXPECT_LT(ReadFile(run + "/profile.json").size(), 2'000'000u);
}

struct Fault {
  std::string yaml;
  std::string message;
};

TEST(TrainInputTest, JobFilesThatAreWrong) {
  const std::string layers = "model: {layers: [flatten, dense: 10]}\n";
  const std::vector<Fault> faults = {
      {"model: [", ":1:"},
      {layers + "epoch: 3\n", ":2:1: epoch"},
      {layers + "epoch: 3\n", "did you mean 'epochs'?"},
      {layers + "epochs: ten\n", ":2:9: epochs: expected"},
      {layers + "epochs: -1\n", "-1"},
      {layers + "data:\n  batch: 0\n", ":3:10: data.batch"},
      {layers + "data:\n  batch: 100000\n", "a batch of 100,000 samples is larger than the data"},
      {layers + "optimizer: {adma: {}}\n", "did you mean 'adam'?"},
      {layers + "optimizer:\n  adam:\n    learnig_rate: 1\n", "did you mean 'learning_rate'?"},
      {"model: {layers: [flatten, dens: 10]}\n", "did you mean 'dense'?"},
      {"epochs: 1\n", "model"},
      {"- a\n", "expected a job"},
      {"", "expected a job"},
  };
  const TestFolder folder;
  for (const Fault& fault : faults) {
    WriteTestFile(folder / "job.yaml", fault.yaml);
    const Outcome outcome =
        RunProgram({"train", folder / "job.yaml", "--data", kMnist, "--out", folder / "run"});
    EXPECT_EQ(outcome.status, 2) << fault.yaml;
    EXPECT_THAT(outcome.err, HasSubstr(fault.message)) << fault.yaml;
    EXPECT_THAT(outcome.err, HasSubstr("error: ")) << fault.yaml;
    EXPECT_FALSE(RealFileSystem().Exists(folder / "run")) << fault.yaml;
  }
}

TEST(TrainInputTest, OverridesThatAreWrong) {
  const auto error = [](const std::string& set) {
    const Outcome outcome =
        RunProgram({"train", kJob, "--data", kMnist, "--explain", "--set", set});
    EXPECT_EQ(outcome.status, 2) << set;
    return outcome.err;
  };
  EXPECT_THAT(error("epochs"), HasSubstr("--set: expected KEY=VALUE, got 'epochs'"));
  EXPECT_THAT(error("=1"), HasSubstr("--set: expected KEY=VALUE"));
  EXPECT_THAT(error("epocs=1"), HasSubstr("did you mean 'epochs'?"));
  EXPECT_THAT(error("data.batch=many"), HasSubstr("--set: data.batch"));
  EXPECT_THAT(error("data.batch=[1"), HasSubstr("--set: 'data.batch'"));
  EXPECT_THAT(error("epochs.x=1"),
              HasSubstr("expected a whole number, got '10' with keys set below it"));
  EXPECT_THAT(error("model.layers[0].dense.units=4"),
              HasSubstr("expected the name of a layer, got 'flatten' with keys set below it"));
}

TEST(TrainInputTest, OverridesReachBelowShortForms) {
  const TestFolder folder;
  std::ofstream(folder / "job.yaml") << R"(epochs: 1
data:
  source: {synthetic: {shape: [1, 2, 4], classes: 3, samples: 64}}
  batch: 16
model:
  layers:
    - flatten
    - dense: 64
    - dropout: 0.5
    - dense: 3
optimizer: adam
schedule: cosine
clip: 1
)";
  const Outcome outcome =
      RunProgram({"train", folder / "job.yaml", "--quiet", "--out", folder / "run", "--set",
                  "optimizer.adam.learning_rate=0.02", "--set", "schedule.warm_up=2", "--set",
                  "schedule.cosine.final_factor=0.5", "--set", "clip.value=0.25", "--set",
                  "model.layers[0].name=first", "--set", "model.layers[1].dense.units=32", "--set",
                  "model.layers[3].dense.bias=false"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const train::Job job = train::ReadJob(LoadConfig(folder / "run/job.yaml"));
  EXPECT_EQ(job.optimizer.learning_rate(), 0.02);
  EXPECT_EQ(job.schedule.warm_up, 2);
  EXPECT_EQ(job.schedule.cosine.value().final_factor, 0.5);
  EXPECT_EQ(job.clip.norm, 1);
  EXPECT_EQ(job.clip.value, 0.25);
  const std::string layers = job.model.layers.ToYaml();
  EXPECT_THAT(layers, HasSubstr("name: first"));
  EXPECT_THAT(layers, HasSubstr("units: 32"));
  EXPECT_THAT(layers, HasSubstr("units: 3\n"));
}

TEST(TrainInputTest, FilesAndFoldersThatAreNotThere) {
  const TestFolder folder;
  const Outcome no_job = RunProgram({"train", folder / "mnist.yaml"});
  EXPECT_EQ(no_job.status, 2);
  EXPECT_THAT(no_job.err, HasSubstr("mnist.yaml': No such file"));
  const Outcome no_data =
      RunProgram({"train", kJob, "--data", folder / "data", "--out", folder / "run"});
  EXPECT_EQ(no_data.status, 2);
  EXPECT_THAT(no_data.err,
              HasSubstr("--data: the folder '" + (folder / "data") + "' does not exist"));
  const Outcome empty =
      RunProgram({"train", kJob, "--data", folder.path(), "--out", folder / "run"});
  EXPECT_EQ(empty.status, 2);
  EXPECT_THAT(empty.err, HasSubstr("train-images-idx3-ubyte"));
  WriteTestFile(folder / "file", "");
  const Outcome unwritable =
      RunProgram({"train", kJob, "--data", kMnist, "--out", folder / "file/run"});
  EXPECT_EQ(unwritable.status, 1);
  EXPECT_THAT(unwritable.err, HasSubstr("file/run"));
}

TEST(TrainInputTest, TheFirstNanIsNamed) {
  const TestFolder folder;
  const Outcome outcome = RunProgram({"train", kJob, "--data", kMnist, "--out", folder / "run",
                                      "--set", "optimizer={sgd: {learning_rate: 1e30}}"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("numerically unstable at step"), HasSubstr("layer"),
                                 HasSubstr("optimizer.sgd.learning_rate")));
}

TEST(ExplainTest, ShowsJobLayersMemoryShardsAndKernels) {
  const Outcome outcome = RunProgram({"train", kJob, "--data", kMnist, "--explain"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("learning_rate: 0.001"), HasSubstr("1 (dense 64)"),
                    HasSubstr("50,240 parameters"), HasSubstr("MFLOP"), HasSubstr("memory:"),
                    HasSubstr("logical_shards: auto gives"), HasSubstr("kernels:")));
  const auto json = nlohmann::json::parse(
      RunProgram({"train", kJob, "--data", kMnist, "--explain", "--json"}).out);
  EXPECT_EQ(json["parameters"], 50890);
  EXPECT_EQ(json["layers"].size(), 3u);
  EXPECT_GT(json["planned_bytes"].get<int64_t>(), 0);
}

TEST(GraphTest, EveryStage) {
  const auto graph = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"graph", kJob, "--data", kMnist};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram(arguments);
  };
  EXPECT_THAT(graph({}).out, AllOf(HasSubstr("ingot.ShardMap"), HasSubstr("ingot.Adam")));
  EXPECT_THAT(graph({"--stage", "forward"}).out, AllOf(HasSubstr("Gemm"), Not(HasSubstr("Adam"))));
  EXPECT_THAT(graph({"--stage", "compiled"}).out, HasSubstr("stage 1"));
  EXPECT_THAT(graph({"--dot"}).out, ::testing::StartsWith("digraph"));
  const Outcome drawn = graph({"--dot", "--stage", "compiled"});
  EXPECT_EQ(drawn.status, 2);
  EXPECT_THAT(drawn.err, HasSubstr("no drawing"));
  const TestFolder folder;
  EXPECT_EQ(graph({"--out", folder / "g.txt"}).out, "");
  EXPECT_EQ(ReadFile(folder / "g.txt"), graph({}).out);
}

// A regression and a classifier on tables: the other halves of eval and predict.
TEST(TableTest, Regression) {
  const TestFolder folder;
  const std::string job = INGOT_SOURCE_DIR "/examples/linear_regression/linear_regression.yaml";
  ASSERT_EQ(RunProgram({"train", job, "--out", folder / "run", "--quiet"}).status, 0);
  const auto json = nlohmann::json::parse(RunProgram({"eval", folder / "run", "--json"}).out);
  const auto summary = nlohmann::json::parse(ReadFile(folder / "run/summary.json"));
  EXPECT_NEAR(json["rmse"].get<double>(), summary["test_rmse"].get<double>(), 1e-5);
  EXPECT_GT(json["r2"].get<double>(), 0.9);
  EXPECT_THAT(RunProgram({"eval", folder / "run"}).out, AllOf(HasSubstr("RMSE"), HasSubstr("R2")));
  const std::string table = INGOT_SOURCE_DIR "/examples/linear_regression/test.csv";
  const Outcome all = RunProgram({"predict", folder / "run", table, "--out", "-"});
  EXPECT_EQ(Lines(all.out), 101u) << all.err;
  EXPECT_THAT(all.out, ::testing::StartsWith("row,value_0\n0,"));
}

TEST(TableTest, ClassesHaveTheirNamesAndMissingValuesTheMean) {
  const TestFolder folder;
  const std::string job = INGOT_SOURCE_DIR "/examples/tabular/tabular.yaml";
  ASSERT_EQ(RunProgram({"train", job, "--out", folder / "run", "--quiet", "--epochs", "3"}).status,
            0);
  EXPECT_THAT(RunProgram({"eval", folder / "run"}).out, HasSubstr("storm"));
  // The label's column may be there or not, and values may be missing.
  WriteTestFile(folder / "rows.csv",
                "temperature,humidity,pressure,wind\n10,50,1010,5\n,50,1010,5\n");
  const Outcome rows = RunProgram({"predict", folder / "run", folder / "rows.csv", "--out", "-"});
  EXPECT_EQ(Lines(rows.out), 3u) << rows.err;
  EXPECT_THAT(rows.out, HasSubstr("probability_storm"));
  WriteTestFile(folder / "narrow.csv", "temperature,humidity\n10,50\n");
  EXPECT_THAT(RunProgram({"predict", folder / "run", folder / "narrow.csv"}).err,
              HasSubstr("has 2 columns without the label, but the model takes 4 features"));
}

}  // namespace
}  // namespace ingot::cli
