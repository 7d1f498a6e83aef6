// ingot plot: the curves of runs, as a picture or in the terminal.
#include <sys/ioctl.h>
#include <unistd.h>

#include "ingot/base/environment.h"
#include "ingot/base/error.h"
#include "ingot/base/file.h"
#include "ingot/cli/program.h"
#include "ingot/cli/run_plot.h"
#include "ingot/plot/picture.h"

namespace ingot::cli {
namespace {

constexpr double kWidth = 900;
constexpr double kPanelHeight = 380;
constexpr int kNarrowest = 40;

class Plot : public Verb {
 public:
  void Declare(Options& options) override {
    options.Positionals("RUN...", &request_.runs, "run directories; several are compared");
    options.Texts("--metric", &request_.metrics, "NAME",
                  "a metric, such as loss or validation/loss (default: all but learning_rate)");
    options.Choice("--x", &request_.x, "what the curves go over (default: step)",
                   {"step", "epoch", "seconds"});
    options.Real("--smooth", &smoothing_, "W",
                 "smooths exponentially by W from 0 to 0.999; what was recorded stays visible", 0,
                 0.999);
    options.Flag("--log", &request_.logarithmic, "a logarithmic axis for the values");
    options.Text("--out", &out_, "FILE", "draws FILE, .svg or .png, in place of text");
    options.Number("--width", &width_, "N",
                   "columns of the text (default: the terminal's, else 80), or units of the "
                   "picture (default: 900)",
                   kNarrowest);
    options.Flag("--json", &json_, "prints the series as JSON");
  }

  int Run(const Streams& streams) override {
    if (!out_.empty()) plot::CheckPictureName("--out", out_);
    request_.smoothing = smoothing_.value_or(0);
    const std::vector<PlottedRun> runs = ReadRuns(request_.runs);
    if (json_) streams.Out(PlotJson(runs, request_));
    if (json_ && out_.empty()) return kOk;
    const std::vector<plot::Panel> panels = PlotPanels(runs, request_);
    if (!out_.empty()) {
      Draw(panels);
      if (!json_) streams.Out(out_ + "\n");
      return kOk;
    }
    PrintText(panels, streams);
    return kOk;
  }

 private:
  void Draw(const std::vector<plot::Panel>& panels) const {
    const double width = width_ ? static_cast<double>(*width_) : kWidth;
    const double height = kPanelHeight * static_cast<double>(panels.size());
    WriteFileAtomically(RealFileSystem(), out_,
                        plot::DrawFile(out_, width, height, [&](plot::Canvas& canvas) {
                          plot::DrawPanels(panels, {0, 0, width, height}, canvas);
                        }));
  }

  void PrintText(const std::vector<plot::Panel>& panels, const Streams& streams) const {
    plot::TextChartStyle style;
    const int out = ::fileno(streams.out);
    const bool terminal = ::isatty(out) == 1;
    winsize size = {};
    if (terminal && ::ioctl(out, TIOCGWINSZ, &size) == 0 && size.ws_col >= kNarrowest) {
      style.columns = size.ws_col;
    }
    if (width_) style.columns = static_cast<int>(std::min<int64_t>(*width_, 1000));
    style.colours =
        terminal && !GetEnvironment("NO_COLOR") && GetEnvironment("TERM").value_or("") != "dumb";
    bool first = true;
    for (const plot::Panel& panel : panels) {
      if (!first) streams.Out("\n");
      first = false;
      streams.Out(plot::TextChart(panel, style));
    }
  }

  PlotRequest request_;
  std::optional<double> smoothing_;
  std::optional<int64_t> width_;
  std::string out_;
  bool json_ = false;
};

}  // namespace

void AddPlot(Program& program) {
  program.Add<Plot>(
      {.name = "plot",
       .summary = "draw the loss and metric curves of runs",
       .details = "Text in the terminal, or a picture with --out. Lines are training, "
                  "dashes validation,\ndots the test data; each run has a colour.",
       .example = "ingot plot runs/mnist\n"
                  "ingot plot runs/small runs/large --metric loss --log --out loss.svg\n"
                  "ingot plot runs/mnist --smooth 0.9 --json"});
}

}  // namespace ingot::cli
