// What `ingot plot` shows: the recorded metrics of runs, chosen and arranged.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ingot/plot/chart.h"
#include "ingot/train/run_history.h"

namespace ingot::cli {

struct PlotRequest {
  std::vector<std::string> runs;     // folders
  std::vector<std::string> metrics;  // "loss", "validation/loss"; none: all but the learning rate
  std::string x = "step";            // or "epoch" or "seconds"
  double smoothing = 0;              // plot::Smooth's w; 0: none
  bool logarithmic = false;
};

struct PlottedRun {
  std::string folder;
  std::string label;  // the folder's name, or all of it where two have the same
  std::vector<train::MetricHistory> histories;
};

// Throws Error for a folder that is no run, and what ReadHistory throws.
std::vector<PlottedRun> ReadRuns(const std::vector<std::string>& folders);

// A panel for each metric: what was measured in training as lines, in validation dashed, on the
// test data as dots; a colour for each run, or for each line of a single run. Throws
// Error(kNotFound) naming the metrics there are.
std::vector<plot::Panel> PlotPanels(const std::vector<PlottedRun>& runs,
                                    const PlotRequest& request);

// {"runs": [{"run": ..., "series": [{"name": "train/loss", "step": [...], "epoch": [...],
// "seconds": [...], "value": [...], "smoothed": [...]}]}]}; the metrics that were chosen.
std::string PlotJson(const std::vector<PlottedRun>& runs, const PlotRequest& request);

}  // namespace ingot::cli
