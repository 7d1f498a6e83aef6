// colour_jitter: brightness, contrast, saturation and hue of pictures of bytes, in this order.
//
// With factors f drawn from [1 - strength, 1 + strength]: brightness v f; contrast m + (v - m) f, m
// being the mean of the picture's grey; saturation g + (v - g) f, g being the pixel's grey; hue
// turns the colour's plane (I, Q of YIQ) by up to 360 degrees times strength. All in f32, rounded
// to bytes once at the end.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ingot/base/error.h"
#include "ingot/data/augment/augmentation.h"

namespace ingot::data {

namespace {

struct JitterOptions {
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  double hue = 0;
};

const OptionTable<JitterOptions>& JitterTable() {
  static const auto table =
      OptionTable<JitterOptions>("colour_jitter", "random brightness, contrast, saturation and hue")
          .Add("brightness", &JitterOptions::brightness, "0.4: a factor from 0.6 to 1.4",
               Between(0, 1))
          .Add("contrast", &JitterOptions::contrast, "the same", Between(0, 1))
          .Add("saturation", &JitterOptions::saturation, "the same; 3 channels", Between(0, 1))
          .Add("hue", &JitterOptions::hue, "0.1: up to a tenth of the colour circle; 3 channels",
               Between(0, 0.5));
  return table;
}

struct Pixel {
  float red;
  float green;
  float blue;
  float Grey() const { return 0.299f * red + 0.587f * green + 0.114f * blue; }
};

uint8_t ToByte(float value) {
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f) + 0.5f);
}

class ColourJitter : public Augmentation {
 public:
  ColourJitter(const JitterOptions& options, const PictureLayout& layout)
      : options_(options), layout_(layout) {}

  void Apply(Draws& draws, std::byte* sample, std::byte*) const override {
    auto* bytes = reinterpret_cast<uint8_t*>(sample);
    const float brightness = Factor(draws, options_.brightness);
    const float contrast = Factor(draws, options_.contrast);
    const float saturation = Factor(draws, options_.saturation);
    const double turn = draws.Between(-options_.hue, options_.hue) * 2 * std::numbers::pi;
    const float mean = contrast == 1 ? 0 : brightness * MeanGrey(bytes);
    const auto cosine = static_cast<float>(std::cos(turn));
    const auto sine = static_cast<float>(std::sin(turn));
    for (int64_t y = 0; y < layout_.height; ++y) {
      for (int64_t x = 0; x < layout_.width; ++x) {
        Pixel pixel = Load(bytes, y, x);
        for (float* v : {&pixel.red, &pixel.green, &pixel.blue}) {
          *v = mean + (*v * brightness - mean) * contrast;
        }
        if (layout_.channels == 3) {
          const float grey = pixel.Grey();
          for (float* v : {&pixel.red, &pixel.green, &pixel.blue}) {
            *v = grey + (*v - grey) * saturation;
          }
          if (options_.hue > 0) pixel = Turned(pixel, cosine, sine);
        }
        Store(pixel, bytes, y, x);
      }
    }
  }

 private:
  static float Factor(Draws& draws, double strength) {
    const double factor = draws.Between(1 - strength, 1 + strength);
    return strength == 0 ? 1.0f : static_cast<float>(factor);
  }

  static Pixel Turned(const Pixel& p, float cosine, float sine) {
    const float luma = p.Grey();
    const float i = 0.5959f * p.red - 0.2746f * p.green - 0.3213f * p.blue;
    const float q = 0.2115f * p.red - 0.5227f * p.green + 0.3112f * p.blue;
    const float a = i * cosine - q * sine;
    const float b = i * sine + q * cosine;
    return {luma + 0.956f * a + 0.619f * b, luma - 0.272f * a - 0.647f * b,
            luma - 1.106f * a + 1.703f * b};
  }

  Pixel Load(const uint8_t* bytes, int64_t y, int64_t x) const {
    const auto at = [&](int64_t c) { return static_cast<float>(bytes[layout_.At(c, y, x)]); };
    return layout_.channels == 3 ? Pixel{at(0), at(1), at(2)} : Pixel{at(0), at(0), at(0)};
  }

  void Store(const Pixel& pixel, uint8_t* bytes, int64_t y, int64_t x) const {
    bytes[layout_.At(0, y, x)] = ToByte(pixel.red);
    if (layout_.channels != 3) return;
    bytes[layout_.At(1, y, x)] = ToByte(pixel.green);
    bytes[layout_.At(2, y, x)] = ToByte(pixel.blue);
  }

  float MeanGrey(const uint8_t* bytes) const {
    double sum = 0;
    for (int64_t y = 0; y < layout_.height; ++y) {
      for (int64_t x = 0; x < layout_.width; ++x) {
        const Pixel pixel = Load(bytes, y, x);
        sum += static_cast<double>(layout_.channels == 3 ? pixel.Grey() : pixel.red);
      }
    }
    return static_cast<float>(sum / static_cast<double>(layout_.height * layout_.width));
  }

  JitterOptions options_;
  PictureLayout layout_;
};

std::unique_ptr<Augmentation> MakeJitter(const JitterOptions& options, const Field& field) {
  const PictureLayout layout = LayoutOf(field, "colour_jitter");
  if (layout.dtype != DType::kU8 || (layout.channels != 1 && layout.channels != 3)) {
    throw Error(ErrorCode::kInvalidInput,
                "colour_jitter changes bytes of 1 or 3 channels, but a sample of the data is " +
                    field.Describe());
  }
  if (layout.channels == 1 && (options.saturation > 0 || options.hue > 0)) {
    throw Error(ErrorCode::kInvalidInput,
                "colour_jitter: grey pictures have no saturation and no hue to change",
                "leave saturation and hue out");
  }
  return std::make_unique<ColourJitter>(options, layout);
}

}  // namespace

AugmentationKind ColourJitterKind() {
  return DefineAugmentation(JitterTable(), MakeJitter);
}

}  // namespace ingot::data
