// The curves of runs: see run_plot.h.
#include "ingot/cli/run_plot.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "ingot/base/error.h"
#include "ingot/base/text.h"
#include "ingot/cli/job_arguments.h"

namespace ingot::cli {
namespace {

using Json = nlohmann::ordered_json;
using train::MetricHistory;

constexpr const char* kLearningRate = "learning_rate";
// So few records of "train" (a short run) say less than the means of the epochs.
constexpr size_t kFewRecords = 3;

std::string FullName(const MetricHistory& history) {
  return history.kind + "/" + history.name;
}

// `wanted` may be "loss", "validation/loss" or, as summaries write it, "validation_loss".
bool Matches(const MetricHistory& history, const std::string& wanted) {
  return wanted == history.name || wanted == FullName(history) ||
         wanted == history.kind + "_" + history.name;
}

bool IsWanted(const MetricHistory& history, const std::vector<std::string>& metrics) {
  if (metrics.empty()) return history.name != kLearningRate;
  return std::any_of(metrics.begin(), metrics.end(),
                     [&](const std::string& metric) { return Matches(history, metric); });
}

// An unknown metric is an error, with the names that there are.
void CheckMetrics(const std::vector<PlottedRun>& runs, const std::vector<std::string>& metrics) {
  std::vector<std::string> known;
  const auto add = [&known](const std::string& name) {
    if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
  };
  for (const PlottedRun& run : runs) {
    for (const MetricHistory& history : run.histories) add(history.name);
  }
  for (const PlottedRun& run : runs) {
    for (const MetricHistory& history : run.histories) add(FullName(history));
  }
  for (const std::string& metric : metrics) {
    bool found = false;
    for (const PlottedRun& run : runs) {
      for (const MetricHistory& history : run.histories) found = found || Matches(history, metric);
    }
    if (!found) {
      throw Error(ErrorCode::kNotFound, "no run has recorded the metric '" + metric + "'",
                  DidYouMean(metric, known));
    }
  }
}

std::vector<plot::Point> PointsOf(const MetricHistory& history, const std::string& x) {
  std::vector<plot::Point> points;
  for (size_t i = 0; i < history.values.size(); ++i) {
    double at = static_cast<double>(history.steps[i]);
    if (x == "epoch") at = static_cast<double>(history.epochs[i]);
    if (x == "seconds") at = history.seconds[i];
    points.push_back({at, history.values[i]});
  }
  return points;
}

const char* KindName(const std::string& kind) {
  if (kind == "validation") return "validation";
  return kind == "test" ? "test" : "training";
}

// Training is shown by the records of intervals or by those of epochs, not by both.
bool IsShown(const PlottedRun& run, const MetricHistory& history, const PlotRequest& request) {
  for (const std::string& metric : request.metrics) {
    if (metric != history.name && Matches(history, metric)) return true;
  }
  if (history.kind != "train" && history.kind != "epoch") return true;
  const auto records = [&](const char* kind) {
    for (const MetricHistory& other : run.histories) {
      if (other.kind == kind && other.name == history.name) return other.values.size();
    }
    return size_t{0};
  };
  const bool by_epoch = records("epoch") > 0 &&
                        (request.x == "epoch" ||
                         (records("train") <= kFewRecords && records("epoch") > records("train")));
  return (history.kind == "epoch") == (by_epoch || records("train") == 0);
}

void AddSeries(const PlottedRun& run, size_t run_index, bool alone, const MetricHistory& history,
               const PlotRequest& request, plot::Panel& panel) {
  plot::Series series;
  series.name = alone ? KindName(history.kind) : run.label + " " + KindName(history.kind);
  series.colour = alone ? panel.series.size() : run_index;
  series.points = PointsOf(history, request.x);
  if (history.kind == "validation") series.mark = plot::Mark::kDashed;
  if (history.kind == "test" || series.points.size() == 1) series.mark = plot::Mark::kDot;
  if (request.smoothing > 0 && series.mark != plot::Mark::kDot) {
    series.raw = series.points;
    series.points = plot::Smooth(series.raw, request.smoothing);
  }
  panel.series.push_back(std::move(series));
}

Json Numbers(const std::vector<double>& values) {
  Json json = Json::array();
  for (const double value : values) {
    json.push_back(std::isfinite(value) ? Json(value) : Json(nullptr));
  }
  return json;
}

}  // namespace

std::vector<PlottedRun> ReadRuns(const std::vector<std::string>& folders) {
  std::vector<PlottedRun> runs;
  const auto name = [](const std::string& folder) {
    return folder.substr(folder.find_last_of('/') + 1);
  };
  for (const std::string& given : folders) {
    const std::string folder = RunFolder(given);
    runs.push_back({folder, name(folder), train::ReadHistory(folder)});
  }
  for (PlottedRun& run : runs) {
    const auto same = std::count_if(runs.begin(), runs.end(), [&](const PlottedRun& other) {
      return name(other.folder) == name(run.folder);
    });
    if (same > 1) run.label = run.folder;
  }
  return runs;
}

std::vector<plot::Panel> PlotPanels(const std::vector<PlottedRun>& runs,
                                    const PlotRequest& request) {
  CheckMetrics(runs, request.metrics);
  std::vector<plot::Panel> panels;
  for (size_t r = 0; r < runs.size(); ++r) {
    for (const MetricHistory& history : runs[r].histories) {
      if (!IsWanted(history, request.metrics) || !IsShown(runs[r], history, request)) continue;
      auto panel = std::find_if(panels.begin(), panels.end(), [&](const plot::Panel& other) {
        return other.title == history.name;
      });
      if (panel == panels.end()) {
        panels.push_back({history.name, request.x, request.logarithmic, {}});
        panel = panels.end() - 1;
      }
      AddSeries(runs[r], r, runs.size() == 1, history, request, *panel);
    }
  }
  return panels;
}

std::string PlotJson(const std::vector<PlottedRun>& runs, const PlotRequest& request) {
  CheckMetrics(runs, request.metrics);
  Json json;
  json["runs"] = Json::array();
  for (const PlottedRun& run : runs) {
    Json entry = {{"run", run.folder}, {"series", Json::array()}};
    for (const MetricHistory& history : run.histories) {
      if (!IsWanted(history, request.metrics)) continue;
      Json series = {{"name", FullName(history)},
                     {"step", history.steps},
                     {"epoch", history.epochs},
                     {"seconds", Numbers(history.seconds)},
                     {"value", Numbers(history.values)}};
      if (request.smoothing > 0) {
        std::vector<double> smoothed;
        for (const auto& point : plot::Smooth(PointsOf(history, "step"), request.smoothing)) {
          smoothed.push_back(point.y);
        }
        series["smoothed"] = Numbers(smoothed);
      }
      entry["series"].push_back(series);
    }
    json["runs"].push_back(entry);
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ingot::cli
