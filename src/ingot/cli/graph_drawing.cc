// A layered drawing (Sugiyama): rows by the longest way from the inputs; within a row, boxes are
// sorted by where their neighbours stand, downwards and upwards in turn, to keep lines from
// crossing.
#include "ingot/cli/graph_drawing.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "ingot/ir/op.h"
#include "ingot/plot/svg_canvas.h"

namespace ingot::cli {
namespace {

using plot::Point;

constexpr double kBoxWidth = 168, kBoxHeight = 36, kGapX = 20, kGapY = 34, kMargin = 24;
constexpr int kSweeps = 6;
constexpr size_t kLongestText = 26;

struct Box {
  std::string title, detail;
  plot::Colour colour;
  size_t row = 0;
  double x = 0;  // of the middle
  std::vector<size_t> above = {}, below = {};
};

std::string Short(const std::string& text) {
  if (text.size() <= kLongestText) return text;
  size_t cut = kLongestText - 3;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return text.substr(0, cut) + "...";
}

// Ops of one kind have one colour.
plot::Colour ColourOf(const std::string& op) {
  const auto has = [&](const char* part) { return op.find(part) != std::string::npos; };
  if (has("Conv") || has("MatMul") || has("Gemm") || has("Attention")) return plot::SeriesColour(0);
  if (has("Norm") || has("Softmax")) return plot::SeriesColour(1);
  if (has("Pool") || has("Reduce")) return plot::SeriesColour(2);
  if (has("Quantize") || has("Integer") || has("QLinear")) return plot::SeriesColour(3);
  if (has("If") || has("Loop") || has("Scan")) return plot::SeriesColour(5);
  return plot::kLightGrey;
}

class Layout {
 public:
  explicit Layout(const ir::Graph& graph) {
    for (const ir::Value* input : graph.inputs()) {
      makers_[input] = Add({input->name(), input->type().ToString(), plot::kPaper});
    }
    for (const ir::Node* node : graph.nodes()) {
      if (node->op_type() == "Constant") continue;
      const size_t box = Add(
          {node->op().FullName(), node->output()->type().ToString(), ColourOf(node->op_type())});
      for (const ir::Value* input : node->inputs()) Connect(input, box);
      for (const ir::Value* output : node->outputs()) makers_[output] = box;
    }
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      const ir::Value* output = graph.outputs()[i];
      Connect(output, Add({graph.output_names()[i], output->type().ToString(), plot::kPaper}));
    }
    MakeRows();
    for (int sweep = 0; sweep < kSweeps; ++sweep) Sort(sweep % 2 == 0);
  }

  std::string Draw() const {
    size_t widest = 1;
    for (const auto& row : rows_) widest = std::max(widest, row.size());
    const double width = 2 * kMargin + static_cast<double>(widest) * (kBoxWidth + kGapX);
    const double height = 2 * kMargin + static_cast<double>(rows_.size()) * (kBoxHeight + kGapY);
    plot::SvgCanvas canvas(width, height);
    for (const Box& box : boxes_) DrawLines(box, canvas, width / 2);
    for (const Box& box : boxes_) DrawBox(box, canvas, width / 2);
    return canvas.Document();
  }

 private:
  size_t Add(Box box) {
    boxes_.push_back(std::move(box));
    return boxes_.size() - 1;
  }

  void Connect(const ir::Value* value, size_t box) {
    const auto maker = makers_.find(value);
    if (maker == makers_.end()) return;  // absent, or a Constant
    boxes_[box].above.push_back(maker->second);
    boxes_[maker->second].below.push_back(box);
    boxes_[box].row = std::max(boxes_[box].row, boxes_[maker->second].row + 1);
  }

  void MakeRows() {
    for (size_t i = 0; i < boxes_.size(); ++i) {
      if (rows_.size() <= boxes_[i].row) rows_.resize(boxes_[i].row + 1);
      rows_[boxes_[i].row].push_back(i);
    }
    for (auto& row : rows_) Place(row);
  }

  // Boxes of a row stand side by side around the middle.
  void Place(const std::vector<size_t>& row) {
    const double first = -static_cast<double>(row.size() - 1) / 2;
    for (size_t i = 0; i < row.size(); ++i) {
      boxes_[row[i]].x = (first + static_cast<double>(i)) * (kBoxWidth + kGapX);
    }
  }

  void Sort(bool downwards) {
    for (size_t r = 0; r < rows_.size(); ++r) {
      std::vector<size_t>& row = rows_[downwards ? r : rows_.size() - 1 - r];
      std::map<size_t, double> wanted;
      for (const size_t box : row) {
        const auto& neighbours = downwards ? boxes_[box].above : boxes_[box].below;
        double sum = 0;
        for (const size_t other : neighbours) sum += boxes_[other].x;
        wanted[box] =
            neighbours.empty() ? boxes_[box].x : sum / static_cast<double>(neighbours.size());
      }
      std::stable_sort(row.begin(), row.end(),
                       [&](size_t a, size_t b) { return wanted[a] < wanted[b]; });
      Place(row);
    }
  }

  static double Top(const Box& box) {
    return kMargin + static_cast<double>(box.row) * (kBoxHeight + kGapY);
  }

  void DrawLines(const Box& box, plot::SvgCanvas& canvas, double middle) const {
    for (const size_t other : box.above) {
      const Box& from = boxes_[other];
      const double begin = Top(from) + kBoxHeight, end = Top(box);
      // Long lines leave straight down, and bend in the gap above their end.
      const std::array<Point, 4> points = {
          Point{middle + from.x, begin}, Point{middle + from.x, std::max(begin, end - kGapY)},
          Point{middle + box.x, end - 4}, Point{middle + box.x, end}};
      canvas.Line(points, {.colour = plot::kGrey, .width = 1.2, .opacity = 0.7});
    }
  }

  static void DrawBox(const Box& box, plot::SvgCanvas& canvas, double middle) {
    const plot::Rectangle area = {middle + box.x - kBoxWidth / 2, Top(box), kBoxWidth, kBoxHeight};
    canvas.Fill(area, plot::Mix(plot::kPaper, box.colour, 0.35), 1);
    const std::array<Point, 5> outline = {Point{area.x, area.y}, Point{area.right(), area.y},
                                          Point{area.right(), area.bottom()},
                                          Point{area.x, area.bottom()}, Point{area.x, area.y}};
    canvas.Line(outline, {.colour = plot::kGrey, .width = 1});
    canvas.Text({middle + box.x, area.y + 15}, Short(box.title),
                {.size = 12, .anchor = plot::Anchor::kMiddle, .bold = true});
    canvas.Text({middle + box.x, area.y + 29}, Short(box.detail),
                {.size = 10, .colour = plot::kGrey, .anchor = plot::Anchor::kMiddle});
  }

  std::vector<Box> boxes_;
  std::map<const ir::Value*, size_t> makers_;
  std::vector<std::vector<size_t>> rows_;
};

}  // namespace

std::string DrawGraph(const ir::Graph& graph) {
  return Layout(graph).Draw();
}

}  // namespace ingot::cli
