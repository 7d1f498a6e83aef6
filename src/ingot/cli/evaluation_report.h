// Evaluating a trained model on its test data, and the report about it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingot/infer/predictor.h"
#include "ingot/train/metrics.h"

namespace ingot::cli {

struct EvaluationRequest {
  std::string run;
  infer::PredictorOptions predictor;
  int64_t worst = 0;      // so many of the worst-classified samples are wanted
  bool pictures = false;  // with their inputs as pictures
};

// A sample of the test data, judged by the probability that the model gives its class.
struct JudgedSample {
  int64_t index = 0;  // in the test data
  int64_t label = 0;
  int64_t predicted = 0;
  double probability = 0;  // of the label
  double of_predicted = 0;
  std::string where;              // in the data's files: data::Source::Where
  std::optional<Tensor> picture;  // u8 [h, w, 1 or 3]; none where it is not wanted, or no picture
};

// One of the two reports is there, and neither for sequences, of which the means say all.
struct EvaluationReport {
  std::string run;
  std::string checkpoint;
  std::map<std::string, double> means;   // "loss" and the job's metrics, as training computes them
  std::vector<std::string> class_names;  // by class number; may be empty
  std::optional<train::ClassificationReport> classification;
  std::optional<train::RegressionReport> regression;
  std::vector<JudgedSample> worst;  // the lowest probability first; then by index
};

// Throws Error: kInvalidInput where the job has no test data, and what
// Predictor::Load, data::OpenData and train::Evaluator throw.
EvaluationReport EvaluateRun(const EvaluationRequest& request);

// The confusion matrix as a picture, .svg or .png by the name; a sheet of the worst samples'
// pictures as PNG. Throw Error(kInvalidInput) where the model is no classifier or the data are no
// pictures.
std::string ConfusionPicture(const EvaluationReport& report, const std::string& path);
std::string WorstSheet(const EvaluationReport& report);

// "7", or the name that the data give class 7.
std::string ClassName(const EvaluationReport& report, int64_t c);

std::string ReportText(const EvaluationReport& report);
std::string ReportJson(const EvaluationReport& report);

}  // namespace ingot::cli
