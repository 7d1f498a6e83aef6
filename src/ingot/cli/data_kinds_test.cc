// Jobs on kinds of data from training to prediction: pictures in folders, tables with categories.
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"
#include "ingot/cli/test_program.h"
#include "ingot/formats/image.h"
#include "ingot/tensor/tensor.h"

namespace ingot::cli {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::string kWaves = ReadFile(INGOT_SOURCE_DIR "/tests/data/formats/waves.jpg");

void WriteTo(const std::string& path, const std::string& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  const auto file = RealFileSystem().OpenForWrite(path);
  file->Write(bytes);
  file->Close();
}

std::string Grey(int value) {
  Tensor picture(DType::kU8, Shape{12, 10, 1});
  for (uint8_t& pixel : picture.data<uint8_t>()) pixel = static_cast<uint8_t>(value);
  const std::vector<std::byte> bytes = formats::EncodePng(picture);
  return std::string(formats::AsText(bytes));
}

// Dark and light pictures, one of them a JPEG and one damaged.
class PicturesTest : public testing::Test {
 protected:
  PicturesTest() {
    for (int i = 0; i < 20; ++i) {
      const std::string name = std::to_string(i) + ".png";
      WriteTo(folder_ / "train/dark/" + name, Grey(i * 3));
      WriteTo(folder_ / "train/light/" + name, Grey(255 - i * 3));
      WriteTo(folder_ / "test/dark/" + name, Grey(i * 2));
    }
    WriteTo(folder_ / "train/light/waves.jpg", kWaves);
    WriteTo(folder_ / "train/dark/cut.jpg", kWaves.substr(0, kWaves.size() / 2));
  }

  std::string Job(const std::string& source, const std::string& augment = "") const {
    const std::string path = folder_ / "job.yaml";
    WriteTo(path, "epochs: 30\ndata:\n  source: {images: {train: train, size: 6, " + source +
                      "}}\n  batch: 8\n" + augment +
                      "model: {layers: [flatten, {dense: 2}]}\n"
                      "optimizer: {adam: {learning_rate: 0.05}}\n");
    return path;
  }

  TestFolder folder_;
};

TEST_F(PicturesTest, FromTrainingToPrediction) {
  const std::string run = folder_ / "run";
  const Outcome trained =
      RunProgram({"train",
                  Job("test: test, on_error: skip",
                      "  augment: [{random_crop: 1}, horizontal_flip, {mixup: 0.2}]\n"),
                  "--out", run});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("left out: " + (folder_ / "train/dark/cut.jpg")));
  EXPECT_THAT(trained.err, HasSubstr("1 damaged sample is left out"));
  EXPECT_THAT(trained.out, HasSubstr("is the slowest of the transforms"));
  const Json summary = Json::parse(ReadFile(run + "/summary.json"));
  EXPECT_EQ(summary["skipped_samples"], 1);
  EXPECT_EQ(summary["test_accuracy"], 1);
  EXPECT_TRUE(summary["data_stages"].contains("random_crop"));
  EXPECT_TRUE(summary["data_stages"].contains(summary["slowest_transform"].get<std::string>()));

  // A JPEG of another size is brought to the model's as the training data were.
  const Outcome said = RunProgram({"predict", run, folder_ / "train/light/waves.jpg", "--json"});
  ASSERT_EQ(said.status, 0) << said.err;
  EXPECT_EQ(Json::parse(said.out)["prediction"], "light");
  EXPECT_THAT(RunProgram({"eval", run}).out, HasSubstr("dark"));
  // An exported model knows all that by itself.
  ASSERT_EQ(RunProgram({"export", run, "--out", folder_ / "model.onnx"}).status, 0);
  const Outcome exported =
      RunProgram({"predict", folder_ / "model.onnx", folder_ / "test/dark/3.png", "--json"});
  EXPECT_EQ(Json::parse(exported.out)["prediction"], "dark") << exported.err;
}

TEST_F(PicturesTest, TheSameBitsForAnyNumberOfThreads) {
  const std::string job =
      Job("on_error: skip",
          "  prefetch_threads: 3\n  augment: [{random_crop: 1}, {random_erasing: 0.5}, {cutmix: "
          "1}]\n  sampling: balanced\n  class_weights: auto\n");
  for (const std::string threads : {"1", "3"}) {
    const Outcome trained = RunProgram(
        {"train", job, "--out", folder_ / threads, "--threads", threads, "--epochs", "2"});
    ASSERT_EQ(trained.status, 0) << trained.err;
  }
  const std::string weights = "/checkpoints/final/model.safetensors";
  EXPECT_EQ(ReadFile(folder_ / "1" + weights), ReadFile(folder_ / "3" + weights));
}

TEST_F(PicturesTest, ADamagedPictureEndsTheRun) {
  const Outcome failed =
      RunProgram({"train", Job("on_error: fail"), "--out", folder_ / "run", "--quiet"});
  EXPECT_EQ(failed.status, 2);
  EXPECT_THAT(failed.err, HasSubstr("train/dark/cut.jpg: damaged JPEG image"));
  EXPECT_THAT(failed.err, HasSubstr("on_error: skip"));
}

// The class follows from the colour, the value is noise.
class CategoriesTest : public testing::Test {
 protected:
  CategoriesTest() {
    std::string rows = "value,colour,shape,class\n";
    const char* colours[] = {"red", "green", "blue"};
    for (int i = 0; i < 90; ++i) {
      rows += std::to_string(i * 7 % 11) + "," + colours[i % 3] + "," +
              (i % 2 == 0 ? "round" : "flat") + "," + (i % 3 == 0 ? "stop" : "go") + "\n";
    }
    WriteTo(folder_ / "t.csv", rows);
    // Columns in another order, a colour that nobody has seen.
    WriteTo(folder_ / "new.csv", "shape,colour,value\nround,red,3\nflat,blue,4\nflat,pink,4\n");
  }

  void TrainAndPredict(const std::string& encoding, const std::string& layers) {
    WriteTo(
        folder_ / "job.yaml",
        "epochs: 60\ndata:\n  source: {csv: {train: t.csv, label_type: class, categorical: "
        "[colour, shape], encoding: " +
            encoding +
            "}}\n  batch: 10\n  validation: 0.1\n  transforms: [standardise]\nmodel: {layers: " +
            layers + "}\noptimizer: {adam: {learning_rate: 0.03}}\n");
    const std::string run = folder_ / encoding;
    const Outcome trained = RunProgram({"train", folder_ / "job.yaml", "--out", run, "--quiet"});
    ASSERT_EQ(trained.status, 0) << trained.err;
    // The training data are not needed any more.
    std::filesystem::rename(folder_ / "t.csv", folder_ / "moved.csv");
    const Outcome said = RunProgram({"predict", run, folder_ / "new.csv", "--out", "-"});
    std::filesystem::rename(folder_ / "moved.csv", folder_ / "t.csv");
    ASSERT_EQ(said.status, 0) << said.err;
    EXPECT_THAT(said.out, HasSubstr("\n0,stop,"));
    EXPECT_THAT(said.out, HasSubstr("\n1,go,"));
    EXPECT_THAT(said.out, HasSubstr("\n2,"));
  }

  TestFolder folder_;
};

TEST_F(CategoriesTest, OneHot) {
  TrainAndPredict("one_hot", "[{dense: 2}]");
}

TEST_F(CategoriesTest, Embedded) {
  TrainAndPredict("index", "[{embed_columns: {columns: 2, width: 4, vocabulary: 7}}, {dense: 2}]");
}

TEST_F(CategoriesTest, AVocabularyThatIsTooSmall) {
  WriteTo(folder_ / "job.yaml",
          "data: {source: {csv: {train: t.csv, label_type: class, categorical: [colour, shape], "
          "encoding: index}}}\nmodel: {layers: [{embed_columns: {columns: 2, vocabulary: 6}}, "
          "{dense: 2}]}\n");
  const Outcome failed = RunProgram({"train", folder_ / "job.yaml", "--out", folder_ / "run"});
  EXPECT_EQ(failed.status, 2);
  EXPECT_THAT(failed.err, HasSubstr("has a vocabulary of 6, but the columns of categories have 7"));
}

}  // namespace
}  // namespace ingot::cli
