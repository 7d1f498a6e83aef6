// Reads the list, and draws for each sample and epoch.
#include "ingot/data/augment/augmenter.h"

#include "ingot/base/error.h"
#include "ingot/base/named_node.h"

namespace ingot::data {

const std::vector<AugmentationKind>& AugmentationKinds() {
  static const std::vector<AugmentationKind> kinds = {
      RandomCropKind(),    HorizontalFlipKind(), ColourJitterKind(),
      RandomErasingKind(), MixupKind(),          CutmixKind(),
  };
  return kinds;
}

Augmenter::Augmenter(const ConfigNode& list, const Field& x, uint64_t seed)
    : choice_key_(seed, "augment/choice") {
  if (!list.is_list()) {
    list.Fail("expected a list of augmentations", "write '- horizontal_flip' on a line of its own");
  }
  std::vector<std::string> known;
  for (const AugmentationKind& kind : AugmentationKinds()) known.push_back(kind.name);
  for (const ConfigNode& item : list.items()) {
    const NamedNode named = ReadNamed(item, "an augmentation");
    const AugmentationKind* found = nullptr;
    for (const AugmentationKind& kind : AugmentationKinds()) {
      if (kind.name == named.name) found = &kind;
    }
    if (found == nullptr) FailUnknownName(item, "augmentation", named.name, known);
    const RandomKey key(seed, "augment/" + named.name, steps_.size() + mixings_.size());
    try {
      if (found->make) {
        steps_.push_back({key, found->make(named.options, x)});
        names_.push_back(named.name);
      } else {
        mixings_.push_back({key, found->make_mixing(named.options, x)});
      }
    } catch (const Error& error) {
      throw AtNode(item, error);
    }
  }
}

void Augmenter::Augment(int64_t epoch, int64_t record, std::byte* sample, std::byte* scratch,
                        StageLap* lap) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    Draws draws(steps_[i].key.Fold(static_cast<uint64_t>(epoch), static_cast<uint64_t>(record)));
    steps_[i].change->Apply(draws, sample, scratch);
    if (lap != nullptr) lap->End(names_[i]);
  }
}

std::optional<Augmenter::Mix> Augmenter::ChooseMix(int64_t epoch, int64_t record,
                                                   int64_t samples) const {
  if (mixings_.empty()) return std::nullopt;
  Draws draws(choice_key_.Fold(static_cast<uint64_t>(epoch), static_cast<uint64_t>(record)));
  Mix mix;
  mix.mixing = static_cast<size_t>(draws.Below(static_cast<int64_t>(mixings_.size())));
  mix.partner = draws.Below(samples);
  if (draws.Uniform() >= mixings_[mix.mixing].mixing->probability()) return std::nullopt;
  return mix;
}

double Augmenter::Apply(const Mix& mix, int64_t epoch, int64_t record, DType dtype, void* sample,
                        const void* partner, int64_t count) const {
  const MixStep& step = mixings_[mix.mixing];
  Draws draws(step.key.Fold(static_cast<uint64_t>(epoch), static_cast<uint64_t>(record)));
  INGOT_ASSERT(dtype == DType::kF32 || dtype == DType::kF64, "samples are mixed as floats");
  return step.mixing->Apply(draws, dtype, sample, partner, count);
}

}  // namespace ingot::data
