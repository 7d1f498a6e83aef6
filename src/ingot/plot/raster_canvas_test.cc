// Pixels: lines, areas, text and pictures.
#include "ingot/plot/raster_canvas.h"

#include <gtest/gtest.h>

#include "ingot/base/error.h"
#include "ingot/formats/image.h"
#include "ingot/plot/picture.h"
#include "ingot/plot/stroke_font.h"

namespace ingot::plot {
namespace {

constexpr Colour kBlack = {0, 0, 0};

int At(const Tensor& pixels, int64_t y, int64_t x) {
  return static_cast<int>(
      reinterpret_cast<const uint8_t*>(pixels.raw())[(y * pixels.shape()[1] + x) * 3]);
}

// How much ink there is: 1 for each black pixel.
double Ink(const Tensor& pixels) {
  double ink = 0;
  for (int64_t i = 0; i < pixels.size(); ++i) {
    ink += 255 - reinterpret_cast<const uint8_t*>(pixels.raw())[i];
  }
  return ink / 255 / 3;
}

TEST(RasterCanvasTest, AHorizontalLineCoversItsPixels) {
  RasterCanvas canvas(20, 9);
  const Point ends[] = {{5, 4.5}, {15, 4.5}};
  canvas.Line(ends, {.colour = kBlack, .width = 1});
  const Tensor pixels = canvas.Pixels();
  EXPECT_EQ(At(pixels, 4, 10), 0);
  EXPECT_EQ(At(pixels, 3, 10), 255);
  EXPECT_EQ(At(pixels, 5, 10), 255);
  EXPECT_EQ(At(pixels, 4, 18), 255);
}

TEST(RasterCanvasTest, ASlantedLineHasAsMuchInkAsItsArea) {
  RasterCanvas canvas(120, 120);
  const Point ends[] = {{10, 10}, {110, 85}};  // 125 long
  canvas.Line(ends, {.colour = kBlack, .width = 2});
  EXPECT_NEAR(Ink(canvas.Pixels()), 125 * 2 + 3.14, 8);
}

TEST(RasterCanvasTest, CornersAndOverlapsOfALineAreDrawnOnce) {
  RasterCanvas canvas(40, 40);
  const Point there_and_back[] = {{5, 20.5}, {35, 20.5}, {5, 20.5}};
  canvas.Line(there_and_back, {.colour = kBlack, .width = 1, .opacity = 0.5});
  EXPECT_NEAR(At(canvas.Pixels(), 20, 20), 128, 1);
}

TEST(RasterCanvasTest, DashesLeaveGaps) {
  RasterCanvas whole(110, 10), dashed(110, 10);
  const Point ends[] = {{5, 5}, {105, 5}};
  whole.Line(ends, {.colour = kBlack, .width = 2});
  dashed.Line(ends, {.colour = kBlack, .width = 2, .dash = 10});
  EXPECT_NEAR(Ink(dashed.Pixels()) / Ink(whole.Pixels()), 0.57, 0.06);  // round ends add to half
}

TEST(RasterCanvasTest, WhatIsOutsideIsCutOff) {
  RasterCanvas canvas(10, 10);
  const Point ends[] = {{-1000, 5}, {1000, 5}};
  canvas.Line(ends, {.colour = kBlack, .width = 2});
  canvas.Fill({-5, -5, 8, 8}, kBlack, 1);
  canvas.Text({-3, 30}, "far outside", {});
  EXPECT_EQ(At(canvas.Pixels(), 0, 0), 0);
  EXPECT_EQ(At(canvas.Pixels(), 9, 9), 255);
}

TEST(RasterCanvasTest, TextHasItsWidthAndPlace) {
  RasterCanvas canvas(200, 40);
  canvas.Text({100, 30}, "HHHH", {.size = 20, .colour = kBlack, .anchor = Anchor::kMiddle});
  const Tensor pixels = canvas.Pixels();
  int64_t left = 200, right = 0, top = 40, bottom = 0;
  for (int64_t y = 0; y < 40; ++y) {
    for (int64_t x = 0; x < 200; ++x) {
      if (At(pixels, y, x) > 128) continue;
      left = std::min(left, x);
      right = std::max(right, x + 1);
      top = std::min(top, y);
      bottom = std::max(bottom, y + 1);
    }
  }
  EXPECT_NEAR(static_cast<double>(right - left), TextWidth("HHHH", 20), 3);
  EXPECT_NEAR(static_cast<double>(left + right) / 2, 100, 1);
  EXPECT_NEAR(static_cast<double>(bottom), 30, 2);
  EXPECT_NEAR(static_cast<double>(bottom - top), 20 * 0.72, 2.5);
}

TEST(StrokeFontTest, EveryCharacterIsDrawnAndNoTwoAlike) {
  std::vector<std::vector<std::vector<Point>>> seen;
  for (char c = '!'; c <= '~'; ++c) {
    const auto strokes = TextStrokes(std::string(1, c), 10);
    EXPECT_FALSE(strokes.empty()) << c;
    for (const auto& other : seen) EXPECT_NE(strokes, other) << c;
    seen.push_back(strokes);
  }
  EXPECT_EQ(TextStrokes("\u00e4", 10).size(), 1u);  // the box
  EXPECT_EQ(TextWidth("", 10), 0);
}

TEST(PictureTest, PngOfTwoPixelsToAUnit) {
  const std::string png = DrawFile("a.png", 30, 20, [](Canvas& canvas) {
    canvas.Fill({0, 0, 15, 20}, kBlack);
  });
  const auto bytes = std::as_bytes(std::span(png.data(), png.size()));
  RasterCanvas canvas(30, 20);
  canvas.Picture({0, 0, 30, 20}, formats::ParsePng(formats::CopyBlob(bytes), "a.png"));
  EXPECT_EQ(At(canvas.Pixels(), 10, 14), 0);
  EXPECT_EQ(At(canvas.Pixels(), 10, 15), 255);
}

TEST(PictureTest, OtherNamesAreRefused) {
  EXPECT_THROW(CheckPictureName("--out", "curve.jpg"), Error);
  EXPECT_THROW(RasterCanvas(0, 10), Error);
  EXPECT_THROW(RasterCanvas(1e6, 1e6), Error);
}

}  // namespace
}  // namespace ingot::plot
