// Axes, curves and text charts.
#include "ingot/plot/chart.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingot/base/bars.h"
#include "ingot/base/text.h"
#include "ingot/plot/svg_canvas.h"

namespace ingot::plot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.ticks) labels.push_back(tick.label);
  return labels;
}

TEST(AxisTest, TicksAreRound) {
  EXPECT_THAT(Labels(MakeAxis(0, 1, 6)), ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(Labels(MakeAxis(0.31, 2.27, 5)), ElementsAre("0.5", "1.0", "1.5", "2.0"));
  EXPECT_THAT(Labels(MakeAxis(0, 23450, 5)),
              ElementsAre("0", "5,000", "10,000", "15,000", "20,000"));
  EXPECT_THAT(Labels(MakeAxis(0, 3e6, 4)), ElementsAre("0", "1M", "2M", "3M"));
  EXPECT_THAT(Labels(MakeAxis(-1, 1, 3)), ElementsAre("-1", "0", "1"));
  EXPECT_THAT(Labels(MakeAxis(1e-5, 3e-5, 3)), ElementsAre("1e-05", "2e-05", "3e-05"));
}

TEST(AxisTest, NoMoreTicksThanAskedFor) {
  for (int most = 2; most < 12; ++most) {
    for (double high = 0.011; high < 1e5; high *= 1.37) {
      const Axis axis = MakeAxis(high / 3, high, most);
      EXPECT_LE(axis.ticks.size(), static_cast<size_t>(most)) << high;
      for (const Tick& tick : axis.ticks) {
        EXPECT_GE(axis.Position(tick.value), -1e-6);
        EXPECT_LE(axis.Position(tick.value), 1 + 1e-6);
      }
    }
  }
}

TEST(AxisTest, LogarithmicAxes) {
  const Axis axis = MakeAxis(0.01, 10, 5, true);
  EXPECT_THAT(Labels(axis), ElementsAre("0.01", "0.1", "1", "10"));
  EXPECT_DOUBLE_EQ(axis.Position(0.1), 1.0 / 3);
  EXPECT_TRUE(std::isnan(axis.Position(0)));
  EXPECT_THAT(Labels(MakeAxis(1, 10, 6, true)), ElementsAre("1", "2", "5", "10"));
  EXPECT_FALSE(MakeAxis(0, 1, 4, true).logarithmic);
}

TEST(AxisTest, OneValueHasAnAxisAroundIt) {
  const Axis axis = MakeAxis(4, 4, 5);
  EXPECT_DOUBLE_EQ(axis.Position(4), 0.5);
  EXPECT_GE(MakeAxis(0, 0, 5).ticks.size(), 2u);
}

TEST(SmoothTest, IsTheWeightedMeanOfWhatCameBefore) {
  const std::vector<Point> smooth = Smooth({{0, 4}, {1, kNan}, {2, 1}, {3, 2}}, 0.5);
  EXPECT_DOUBLE_EQ(smooth[0].y, 4);
  EXPECT_TRUE(std::isnan(smooth[1].y));
  EXPECT_DOUBLE_EQ(smooth[2].y, (0.5 * 4 + 1) / 1.5);
  EXPECT_DOUBLE_EQ(smooth[3].y, (0.25 * 4 + 0.5 * 1 + 2) / 1.75);
  EXPECT_EQ(Smooth({{0, 3}, {1, 5}}, 0)[1].y, 5);
}

TEST(ChartTest, SvgHoldsTheCurve) {
  Panel panel{"loss", "step", false, {{"a<b", 0, Mark::kLine, {{0, 0}, {10, 1}, {20, kNan}}, {}}}};
  panel.series.push_back({"test", 1, Mark::kDot, {{10, 0.5}}, {}});
  SvgCanvas canvas(400, 300);
  DrawPanels({panel}, {0, 0, 400, 300}, canvas);
  const std::string svg = canvas.Document();
  EXPECT_THAT(svg, HasSubstr(">loss</text>"));
  EXPECT_THAT(svg, HasSubstr(">a&lt;b</text>"));
  EXPECT_THAT(svg, HasSubstr(">step</text>"));
  EXPECT_THAT(svg, HasSubstr("stroke=\"" + Hex(SeriesColour(0)) + "\""));
  EXPECT_THAT(svg, HasSubstr("<circle"));
  EXPECT_THAT(svg, ::testing::Not(HasSubstr("nan")));
}

// A thousand points in one column of pixels become four that span the same range.
TEST(ChartTest, LongCurvesAreThinned) {
  Panel panel{"m", "x", false, {{"s", 0, Mark::kLine, {}, {}}}};
  for (int i = 0; i < 100000; ++i)
    panel.series[0].points.push_back({1.0 * i, i % 7 == 3 ? 1.0 : 0});
  SvgCanvas canvas(400, 300);
  DrawPanels({panel}, {0, 0, 400, 300}, canvas);
  EXPECT_LT(canvas.Document().size(), 60000u);
}

TEST(TextChartTest, ARisingLineInBraille) {
  const Panel panel{"loss", "step", false, {{"training", 0, Mark::kLine, {{0, 0}, {9, 1}}, {}}}};
  const std::string text = TextChart(panel, {.columns = 40, .rows = 6});
  const std::vector<std::string> lines = Split(text, '\n');
  ASSERT_EQ(lines.size(), 6u + 5);  // title, plot, axis, labels, name, end
  EXPECT_EQ(lines[0], "loss  \u2015\u2015 training");
  for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), 40u);
  // The line's end is in the upper right, its beginning in the lower left.
  EXPECT_TRUE(lines[1].ends_with("\xE2\xA0\x80") || DisplayWidth(lines[1]) == 40) << text;
  EXPECT_LT(DisplayWidth(lines[6]), 15u) << text;
  EXPECT_THAT(lines[9], HasSubstr("step"));
}

TEST(TextChartTest, SeveralCurvesHaveMarksOrColours) {
  const Panel panel{
      "loss",
      "step",
      false,
      {{"a", 0, Mark::kLine, {{0, 0}, {9, 1}}, {}}, {"b", 1, Mark::kLine, {{0, 1}, {9, 0}}, {}}}};
  const std::string marks = TextChart(panel, {.columns = 40, .rows = 6});
  EXPECT_THAT(marks, HasSubstr("o a  x b"));
  EXPECT_THAT(marks, HasSubstr("xxx"));
  EXPECT_EQ(marks.find('\x1b'), std::string::npos);
  EXPECT_THAT(TextChart(panel, {.columns = 40, .rows = 6, .colours = true}), HasSubstr("\x1b[34m"));
}

TEST(TextChartTest, NothingFiniteIsAnEmptyChart) {
  const Panel panel{"loss", "step", true, {{"a", 0, Mark::kLine, {{0, kNan}}, {}}}};
  EXPECT_THAT(TextChart(panel), HasSubstr("loss"));
}

}  // namespace
}  // namespace ingot::plot
