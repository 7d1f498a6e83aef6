// Augmenter: the `augment:` list of a job, in order, for the samples of training alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingot/base/config.h"
#include "ingot/data/augment/augmentation.h"
#include "ingot/data/source.h"
#include "ingot/data/stage_times.h"
#include "ingot/tensor/philox.h"

namespace ingot::data {

const std::vector<AugmentationKind>& AugmentationKinds();

// Immutable and safe from any thread.
class Augmenter {
 public:
  // For samples of the field `x`. Throws Error(kInvalidInput) at the place of the fault: not a
  // list, an unknown name (with the nearest), options that do not fit the field.
  Augmenter(const ConfigNode& list, const Field& x, uint64_t seed);

  // Changes a sample as it came from the source. `lap` may be null; its stages are names().
  void Augment(int64_t epoch, int64_t record, std::byte* sample, std::byte* scratch,
               StageLap* lap) const;

  // Whether samples may be mixed with others, and labels with them.
  bool mixes() const { return !mixings_.empty(); }
  // How a sample is to be mixed in this epoch, with the sample at `partner` of `samples`.
  struct Mix {
    size_t mixing = 0;
    int64_t partner = 0;
  };
  std::optional<Mix> ChooseMix(int64_t epoch, int64_t record, int64_t samples) const;
  // `count` numbers of type f32 or f64; returns the share of the sample that is left.
  double Apply(const Mix& mix, int64_t epoch, int64_t record, DType dtype, void* sample,
               const void* partner, int64_t count) const;

  // Of the changes, in order, without the mixings.
  const std::vector<std::string>& names() const { return names_; }

 private:
  struct Step {
    RandomKey key;
    std::unique_ptr<Augmentation> change;
  };
  struct MixStep {
    RandomKey key;
    std::unique_ptr<Mixing> mixing;
  };

  std::vector<Step> steps_;
  std::vector<MixStep> mixings_;
  std::vector<std::string> names_;
  RandomKey choice_key_;
};

}  // namespace ingot::data
