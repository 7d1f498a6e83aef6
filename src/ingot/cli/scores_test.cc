// What eval and predict say of scores of classes: one and the same, whether the network ends with
// logits or with probabilities.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"
#include "ingot/formats/npy.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// x, y and a label that is not quite what they say.
std::string Table(int classes) {
  std::string text = "a,b,label\n";
  for (int i = 0; i < 240; ++i) {
    const double a = std::sin(i * 1.7), b = std::cos(i * 0.9);
    const int label = (static_cast<int>((a + b + 2) * 10) + i % 3) % classes;
    text += std::to_string(a) + "," + std::to_string(b) + "," + std::to_string(label) + "\n";
  }
  return text;
}

// A run of this model on the table, in folder/run.
void TrainOn(const TestFolder& folder, int classes, const std::string& model,
             const std::string& type = "class", const std::string& rest = "") {
  WriteTestFile(folder / "table.csv", Table(classes));
  WriteTestFile(folder / "job.yaml",
                "epochs: 30\ndata:\n  source: {csv: {train: table.csv, test: "
                "table.csv, label: label, label_type: " +
                    type + "}}\n  batch: 16\nmodel: {layers: " + model + "}\n" + rest);
  const Outcome outcome = RunProgram(
      {"train", folder / "job.yaml", "--out", folder / "run", "--threads", "1", "--quiet"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
}

// Columns of the CSV that predict writes, behind the row and the prediction.
std::vector<std::vector<double>> ProbabilitiesOf(const TestFolder& folder) {
  const Outcome outcome =
      RunProgram({"predict", folder / "run", folder / "table.csv", "--out", "-"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("row,prediction,probability_0,probability_1"));
  std::vector<std::vector<double>> rows;
  std::istringstream lines(outcome.out);
  std::string line, field;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::getline(fields, field, ',');
    std::getline(fields, field, ',');
    rows.emplace_back();
    while (std::getline(fields, field, ',')) rows.back().push_back(std::stod(field));
  }
  return rows;
}

// The share of pairs, one sample of the class and one of another, in which the first has the larger
// probability of it; equal ones count half.
double AucOf(const std::vector<std::vector<double>>& rows, const std::vector<int>& labels, int c) {
  double won = 0, pairs = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < rows.size(); ++j) {
      if (labels[i] != c || labels[j] == c) continue;
      const double a = rows[i][static_cast<size_t>(c)], b = rows[j][static_cast<size_t>(c)];
      won += a > b ? 1 : a == b ? 0.5 : 0;
      ++pairs;
    }
  }
  return won / pairs;
}

std::vector<int> LabelsOf(const std::string& table) {
  std::vector<int> labels;
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) labels.push_back(std::stoi(line.substr(line.rfind(',') + 1)));
  return labels;
}

TEST(ScoresTest, TheAucIsThatOfTheProbabilities) {
  for (const std::string model :
       {"[{dense: 12}, relu, {dense: 3}]", "[{dense: 12}, relu, {dense: 3}, softmax]"}) {
    const TestFolder folder;
    TrainOn(folder, 3, model);
    const auto rows = ProbabilitiesOf(folder);
    const std::vector<int> labels = LabelsOf(Table(3));
    ASSERT_EQ(rows.size(), labels.size());
    const Outcome outcome = RunProgram({"eval", folder / "run", "--json"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const auto json = nlohmann::json::parse(outcome.out);
    ASSERT_EQ(json["classes"].size(), 3u) << outcome.out;
    for (int c = 0; c < 3; ++c) {
      const double said = json["classes"][static_cast<size_t>(c)]["auc"];
      EXPECT_NEAR(said, AucOf(rows, labels, c), 1e-6) << model << ", class " << c;
    }
  }
}

TEST(ScoresTest, OneLogitIsAProbabilityOfTwoClasses) {
  const TestFolder folder;
  TrainOn(folder, 2, "[{dense: 8}, relu, {dense: 1}]", "number", "loss: binary_cross_entropy\n");
  const auto rows = ProbabilitiesOf(folder);
  const std::vector<int> labels = LabelsOf(Table(2));
  double right = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(rows[i][0] + rows[i][1], 1, 1e-6);
    right += (rows[i][1] > rows[i][0]) == (labels[i] == 1) ? 1 : 0;
  }
  const auto json = nlohmann::json::parse(RunProgram({"eval", folder / "run", "--json"}).out);
  EXPECT_NEAR(json["accuracy"], right / static_cast<double>(rows.size()), 1e-9);
}

TEST(ScoresTest, PredictionsThatAreNaNAreSaidToBe) {
  const TestFolder folder;
  TrainOn(folder, 2, "[{dense: 2}]");
  const std::vector<std::byte> array =
      formats::EncodeNpy(Tensor::Of<float>(Shape{2, 2}, {1.F, 2.F, std::nanf(""), 3.F}));
  WriteTestFile(folder / "x.npy", {reinterpret_cast<const char*>(array.data()), array.size()});
  const Outcome outcome = RunProgram({"predict", folder / "run", folder / "x.npy", "--out", "-"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err,
              HasSubstr("1 of 2 predictions are NaN, the first of them that of row 1"));
}

// The network gives what it was trained on.
TEST(ScoresTest, ValuesOfAStandardisedTargetSaySo) {
  const TestFolder folder;
  WriteTestFile(folder / "table.csv", "x,y\n0,1000\n1,1100\n2,1200\n3,1300\n");
  WriteTestFile(folder / "rows.csv", "x\n0\n3\n");
  const auto predict = [&](const std::string& transforms) {
    WriteTestFile(folder / "job.yaml",
                  "epochs: 1\nevaluate: false\ndata:\n  source: {csv: {train: table.csv, label: y, "
                  "label_type: number}}\n  batch: 2\n  transforms: " +
                      transforms + "\nmodel: {layers: [dense: 1]}\n");
    const Outcome trained = RunProgram({"train", folder / "job.yaml", "--out", folder / "run",
                                        "--overwrite", "--quiet", "--threads", "1"});
    EXPECT_EQ(trained.status, 0) << trained.err;
    return RunProgram({"predict", folder / "run", folder / "rows.csv", "--out", "-"}).err;
  };
  EXPECT_THAT(predict("[standardise, standardise: {field: y}]"),
              HasSubstr("note: the values are of the target after its transform standardise"));
  EXPECT_THAT(predict("[standardise]"), Not(HasSubstr("note: ")));
}

TEST(ScoresTest, AnUpdateThatNeverComesIsRefused) {
  const TestFolder folder;
  WriteTestFile(folder / "table.csv", Table(2));
  WriteTestFile(folder / "job.yaml",
                "epochs: 1\naccumulate: 16\ndata:\n  source: {csv: {train: table.csv, label: "
                "label, label_type: class}}\n"
                "  batch: 16\nmodel: {layers: [{dense: 2}]}\n");
  const Outcome outcome = RunProgram({"train", folder / "job.yaml", "--out", folder / "run"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err,
              HasSubstr("accumulate: 16 steps make an update, and the whole job has 15"));
}

TEST(ScoresTest, AnOnnxFileStandsBesideItsJob) {
  const TestFolder folder;
  TrainOn(folder, 3, "[{dense: 8}, relu, {dense: 3}]");
  ASSERT_EQ(RunProgram({"export", folder / "run", "-o", folder / "m.onnx"}).status, 0);
  WriteTestFile(folder / "tuned.yaml",
                "epochs: 1\ndata:\n  source: {csv: {train: table.csv, test: table.csv, label: "
                "label, label_type: class}}\n"
                "  batch: 16\nmodel: {onnx: m.onnx}\n");
  const Outcome trained = RunProgram(
      {"train", folder / "tuned.yaml", "--out", folder / "tuned", "--threads", "1", "--quiet"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Outcome judged = RunProgram({"eval", folder / "tuned"});
  EXPECT_EQ(judged.status, 0) << judged.err;
  EXPECT_THAT(ReadFile(folder / "tuned/job.yaml"), HasSubstr(folder / "m.onnx"));
}

TEST(ScoresTest, AModelIsMeasuredAtTheBatchThatDimNames) {
  const TestFolder folder;
  TrainOn(folder, 3, "[{dense: 3}]");
  ASSERT_EQ(RunProgram({"export", folder / "run", "-o", folder / "m.onnx"}).status, 0);
  const std::vector<std::string> bench = {
      "bench", folder / "m.onnx", "--threads", "1", "--seconds", "0.01", "--dim"};
  const auto with = [&](std::vector<std::string> rest) {
    rest.insert(rest.begin(), bench.begin(), bench.end());
    return RunProgram(rest);
  };
  EXPECT_THAT(with({"batch=6"}).out, HasSubstr("m.onnx: batch 6, 1 thread"));
  const Outcome both = with({"batch=6", "--batch", "5"});
  EXPECT_EQ(both.status, 2);
  EXPECT_THAT(both.err, HasSubstr("--batch is 5, and --dim makes 'batch', the batch, 6"));
  const Outcome unknown = with({"bacth=6"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.err, HasSubstr("no input has a dimension 'bacth'"));
}

}  // namespace
}  // namespace ingot::cli
