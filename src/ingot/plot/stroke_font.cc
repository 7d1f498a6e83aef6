// The stroke font: see stroke_font.h.
//
// A glyph lies on a grid of half units: capitals reach from y = 0 to the baseline at y = c (12),
// small letters from y = 4, descenders to y = g (16). Strokes are separated by spaces; a point is
// two digits, x and y, in base 36. A stroke that begins with ~ is a chain of quadratic curves: its
// first and last points are on it, those between steer it, and it touches the middle between two of
// them (a uniform quadratic B-spline with its ends nailed down).
#include "ingot/plot/stroke_font.h"

#include <array>

namespace ingot::plot {
namespace {

constexpr double kBaseline = 12;
constexpr double kLetterGap = 3.2;     // between two letters
constexpr double kUnitsOfSize = 16.6;  // grid units to the font's size
constexpr int kCurvePoints = 6;        // of each curve

struct Glyph {
  int width;
  const char* strokes;
};

constexpr char kFirst = ' ';
// clang-format off
constexpr std::array<Glyph, 95> kGlyphs = {{
    {3, ""},                                              // space
    {2, "10,18 1c"},                                      // !
    {5, "10,13 40,43"},                                   // "
    {9, "30,1c 70,5c 04,94 08,88"},                       // #
    {8, "~82,80,00,06,86,8c,0c,0a 40,4c"},                // $
    {8, "80,0c ~02,00,40,44,04,02 ~4a,48,88,8c,4c,4a"},   // %
    {8, "8c,13 ~13,10,60,64,06,08 ~08,0c,5c,86"},         // &
    {2, "10,13"},                                         // '
    {3, "~30,03,0c,3f"},                                  // (
    {3, "~00,33,3c,0f"},                                  // )
    {8, "42,4a 14,78 74,18"},                             // *
    {8, "07,87 43,4b"},                                   // +
    {2, "1c,0f"},                                         // ,
    {5, "07,57"},                                         // -
    {2, "1c"},                                            // .
    {6, "0d,60"},                                         // /
    {8, "~06,00,80,8c,0c,06"},                            // 0
    {8, "13,50,5c"},                                      // 1
    {8, "~03,00,80,87,0c 0c,8c"},                         // 2
    {8, "~02,00,80,86,36 ~36,86,8c,0c,0a"},               // 3
    {8, "6c,60,08,88"},                                   // 4
    {8, "70,10,05 ~05,24,84,8c,0c,0a"},                   // 5
    {8, "~72,70,00,08 ~08,04,84,8c,0c,08"},               // 6
    {8, "00,80,3c"},                                      // 7
    {8, "~13,10,70,76,16,13 ~09,06,86,8c,0c,09"},         // 8
    {8, "~84,88,08,00,80,84 ~84,8c,1c,1a"},               // 9
    {2, "15 1c"},                                         // :
    {2, "15 1c,0f"},                                      // ;
    {7, "73,07,7b"},                                      // <
    {8, "05,85 09,89"},                                   // =
    {7, "03,77,0b"},                                      // >
    {7, "~02,00,70,75,39 3c"},                            // ?
    {10, "~8c,0c,02,a2,aa,7a,76 ~37,35,75,79,39,37"},     // @
    {8, "0c,40,8c 18,78"},                                // A
    {8, "06,00,40 ~40,70,76,46 46,06,0c,4c ~46,86,8c,4c"},  // B
    {8, "~83,80,00,0c,8c,89"},                            // C
    {8, "30,00,0c,3c ~30,80,8c,3c"},                      // D
    {7, "70,00,0c,7c 06,66"},                             // E
    {7, "70,00,0c 06,66"},                                // F
    {9, "~83,80,00,0c,9c,97 97,57"},                      // G
    {8, "00,0c 80,8c 06,86"},                             // H
    {2, "10,1c"},                                         // I
    {6, "60,68 ~68,6c,0c,09"},                            // J
    {8, "00,0c 80,07 35,8c"},                             // K
    {7, "00,0c,7c"},                                      // L
    {10, "0c,00,5a,a0,ac"},                               // M
    {8, "0c,00,8c,80"},                                   // N
    {10, "~06,00,a0,ac,0c,06"},                           // O
    {8, "0c,00,40 ~40,80,87,47 47,07"},                   // P
    {10, "~06,00,a0,ac,0c,06 69,ad"},                     // Q
    {8, "0c,00,40 ~40,80,87,47 07,47,8c"},                // R
    {8, "~82,80,00,06,86,8c,0c,0a"},                      // S
    {8, "00,80 40,4c"},                                   // T
    {8, "00,07 ~07,0c,8c,87 87,80"},                      // U
    {8, "00,4c,80"},                                      // V
    {12, "00,3c,61,9c,c0"},                               // W
    {8, "00,8c 80,0c"},                                   // X
    {8, "00,46,80 46,4c"},                                // Y
    {8, "00,80,0c,8c"},                                   // Z
    {3, "30,00,0f,3f"},                                   // [
    {6, "00,6d"},                                         // backslash
    {3, "00,30,3f,0f"},                                   // ]
    {6, "04,30,64"},                                      // ^
    {8, "0e,8e"},                                         // _
    {3, "00,22"},                                         // `
    {7, "~08,04,74,7c,0c,08 74,7c"},                      // a
    {7, "~08,04,74,7c,0c,08 00,0c"},                      // b
    {7, "~76,74,04,0c,7c,7a"},                            // c
    {7, "~08,04,74,7c,0c,08 70,7c"},                      // d
    {7, "08,78 ~78,74,04,0c,7c,7a"},                      // e
    {5, "2c,23 ~23,20,50 04,54"},                         // f
    {7, "~08,04,74,7c,0c,08 74,7c ~7c,7g,1g,0f"},         // g
    {7, "00,0c ~08,04,74,78 78,7c"},                      // h
    {2, "14,1c 11"},                                      // i
    {3, "24,2d ~2d,2g,0g 21"},                            // j
    {6, "00,0c 64,09 27,6c"},                             // k
    {3, "10,19 ~19,1c,3c"},                               // l
    {12, "04,0c ~08,04,64,68 68,6c ~68,64,c4,c8 c8,cc"},  // m
    {7, "04,0c ~08,04,74,78 78,7c"},                      // n
    {7, "~08,04,74,7c,0c,08"},                            // o
    {7, "~08,04,74,7c,0c,08 04,0g"},                      // p
    {7, "~08,04,74,7c,0c,08 74,7g"},                      // q
    {4, "04,0c ~08,04,44"},                               // r
    {6, "~65,64,04,08,68,6c,0c,0b"},                      // s
    {5, "21,29 ~29,2c,5c 04,54"},                         // t
    {7, "04,08 ~08,0c,7c,78 74,7c"},                      // u
    {6, "04,3c,64"},                                      // v
    {10, "04,2c,55,8c,a4"},                               // w
    {6, "04,6c 64,0c"},                                   // x
    {6, "04,3c 64,1g"},                                   // y
    {6, "04,64,0c,6c"},                                   // z
    {4, "~40,20,26,07 ~07,28,2f,4f"},                     // {
    {2, "10,1f"},                                         // |
    {4, "~00,20,26,47 ~47,28,2f,0f"},                     // }
    {8, "~08,25,6b,88"},                                  // ~
}};
// clang-format on
constexpr Glyph kBox = {7, "00,70,7c,0c,00"};

double Digit(char c) {
  return c <= '9' ? c - '0' : c - 'a' + 10;
}

// Calls `visit(glyph)` for each character.
template <typename Visit>
void ForEachGlyph(std::string_view text, const Visit& visit) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // within a UTF-8 sequence
    const bool known = byte >= kFirst && byte < kFirst + kGlyphs.size();
    visit(known ? kGlyphs[byte - static_cast<size_t>(kFirst)] : kBox);
  }
}

// The points of "08,04,74" (without ~).
std::vector<Point> ParsePoints(std::string_view text) {
  std::vector<Point> points;
  for (size_t at = 0; at + 1 < text.size(); at += 3) {
    points.push_back({Digit(text[at]), Digit(text[at + 1])});
  }
  return points;
}

std::vector<Point> Curve(const std::vector<Point>& steering) {
  std::vector<Point> points = {steering.front()};
  Point from = steering.front();
  for (size_t i = 1; i + 1 < steering.size(); ++i) {
    const Point by = steering[i];
    const Point next = steering[i + 1];
    const bool last = i + 2 == steering.size();
    const Point to = last ? next : Point{(by.x + next.x) / 2, (by.y + next.y) / 2};
    for (int k = 1; k <= kCurvePoints; ++k) {
      const double t = static_cast<double>(k) / kCurvePoints;
      const double a = (1 - t) * (1 - t);
      const double b = 2 * t * (1 - t);
      points.push_back(
          {a * from.x + b * by.x + t * t * to.x, a * from.y + b * by.y + t * t * to.y});
    }
    from = to;
  }
  return points;
}

}  // namespace

double TextWidth(std::string_view text, double size) {
  double units = 0;
  ForEachGlyph(text, [&](const Glyph& glyph) { units += glyph.width + kLetterGap; });
  return units == 0 ? 0 : (units - kLetterGap) * size / kUnitsOfSize;
}

std::vector<std::vector<Point>> TextStrokes(std::string_view text, double size) {
  const double scale = size / kUnitsOfSize;
  std::vector<std::vector<Point>> strokes;
  double x = 0;
  ForEachGlyph(text, [&](const Glyph& glyph) {
    std::string_view rest = glyph.strokes;
    while (!rest.empty()) {
      std::string_view stroke = rest.substr(0, rest.find(' '));
      rest.remove_prefix(stroke.size() < rest.size() ? stroke.size() + 1 : rest.size());
      const bool curved = stroke.front() == '~';
      if (curved) stroke.remove_prefix(1);
      std::vector<Point> points = ParsePoints(stroke);
      if (curved) points = Curve(points);
      for (Point& point : points) point = {(x + point.x) * scale, (point.y - kBaseline) * scale};
      strokes.push_back(std::move(points));
    }
    x += glyph.width + kLetterGap;
  });
  return strokes;
}

}  // namespace ingot::plot
