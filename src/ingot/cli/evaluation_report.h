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
};

// One of the two reports is there.
struct EvaluationReport {
  std::string run;
  std::string checkpoint;
  std::map<std::string, double> means;   // "loss" and the job's metrics, as training computes them
  std::vector<std::string> class_names;  // by class number; may be empty
  std::optional<train::ClassificationReport> classification;
  std::optional<train::RegressionReport> regression;
};

// Throws Error: kInvalidInput where the job has no test data, kInterrupted after Ctrl-C, and what
// Predictor::Load, data::OpenData and train::Evaluator throw.
EvaluationReport EvaluateRun(const EvaluationRequest& request);

std::string ReportText(const EvaluationReport& report);
std::string ReportJson(const EvaluationReport& report);

}  // namespace ingot::cli
