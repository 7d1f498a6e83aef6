// Epoch arithmetic and the loop that assembles a batch.
#include "ingot/data/batches.h"

#include <algorithm>
#include <array>
#include <optional>

#include "ingot/base/error.h"
#include "ingot/base/text.h"

namespace ingot::data {

namespace {

constexpr size_t kCacheLine = 64;
// Beyond this a sample is read long enough in one piece for the hardware to see it coming.
constexpr size_t kPrefetchBytes = 1024;

// Into the second-level cache: it is needed a step from now.
void PrefetchBytes(const std::byte* data, size_t bytes) {
  for (size_t i = 0; i < std::min(bytes, kPrefetchBytes); i += kCacheLine) {
    __builtin_prefetch(data + i, 0, 2);
  }
}

// Reused by a thread for samples that a source can only copy out, and for partners that are mixed
// in; grow to the largest.
enum class Purpose : size_t { kRaw, kPartner };
std::byte* Scratch(Purpose purpose, size_t bytes) {
  thread_local std::array<std::vector<std::byte>, 2> all;
  std::vector<std::byte>& scratch = all[static_cast<size_t>(purpose)];
  if (scratch.size() < bytes) scratch.resize(bytes);
  return scratch.data();
}

}  // namespace

// Positions of an epoch to records of the source.
class Batches::Order {
 public:
  Order(const Batches& batches, int64_t epoch) : batches_(batches), epoch_(epoch) {
    if (batches.options_.shuffle) {
      shuffle_ = Shuffle(batches.samples(), batches.options_.seed, epoch);
    } else if (batches.options_.wrap) {
      begin_ = epoch * batches.steps_per_epoch_ * batches.options_.batch % batches.samples();
    }
  }

  int64_t Record(int64_t position) const {
    if (batches_.options_.sampler != nullptr) {
      return batches_.selection_[batches_.options_.sampler->Draw(epoch_, position)];
    }
    if (batches_.options_.shuffle) return batches_.selection_[shuffle_(position)];
    if (batches_.options_.wrap) position = (begin_ + position) % batches_.samples();
    return batches_.selection_[position];
  }

 private:
  const Batches& batches_;
  int64_t epoch_;
  Shuffle shuffle_;
  int64_t begin_ = 0;
};

Batches::Batches(std::shared_ptr<const Source> source, Selection selection,
                 std::vector<Conversion> conversions, BatchOptions options)
    : source_(std::move(source)),
      selection_(std::move(selection)),
      conversions_(std::move(conversions)),
      options_(options) {
  if (options_.batch < 1 || options_.batch > samples()) {
    throw Error(ErrorCode::kInvalidInput,
                options_.batch < 1 ? "a batch of " + std::to_string(options_.batch) + " samples"
                                   : "a batch of " + WithThousands(options_.batch) +
                                         " samples is larger than the data, which have " +
                                         WithThousands(samples()),
                "set data.batch to at least 1 and at most the number of samples");
  }
  if (options_.wrap && (options_.shuffle || options_.drop_last)) {
    throw Error(ErrorCode::kInvalidInput,
                "batches that run on into the next pass need the order of the file",
                "set shuffle and drop_last to false");
  }
  for (const Conversion& conversion : conversions_) {
    Input input;
    input.field = source_->FieldIndex(conversion.input().name);
    const Field& field = source_->fields()[static_cast<size_t>(input.field)];
    if (field.dtype != conversion.input().dtype || field.shape != conversion.input().shape) {
      throw Error(ErrorCode::kInvalidInput, "the data have " + field.Describe() + ", expected " +
                                                conversion.input().Describe());
    }
    input.contiguous = source_->Contiguous(input.field);
    input.output_bytes = conversion.output().bytes();
    scratch_bytes_ = std::max(scratch_bytes_, field.bytes());
    inputs_.push_back(input);
    outputs_.push_back(conversion.output());
  }
  steps_per_epoch_ = options_.drop_last ? samples() / options_.batch
                                        : (samples() + options_.batch - 1) / options_.batch;
  if (!cheap()) MakeStages();
}

void Batches::MakeStages() {
  std::vector<std::string> names = {"read"};
  if (options_.augmenter != nullptr) {
    for (const std::string& name : options_.augmenter->names()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  names.push_back("convert");
  if (options_.augmenter != nullptr && options_.augmenter->mixes()) names.push_back("mix");
  stage_times_ = std::make_shared<StageTimes>(std::move(names));
}

int64_t Batches::BatchOf(int64_t step) const {
  if (options_.wrap) return options_.batch;
  const int64_t first = step % steps_per_epoch_ * options_.batch;
  return std::min(options_.batch, samples() - first);
}

int64_t Batches::SamplesBefore(int64_t step) const {
  const int64_t full =
      options_.wrap || options_.drop_last ? steps_per_epoch_ * options_.batch : samples();
  return step / steps_per_epoch_ * full + step % steps_per_epoch_ * options_.batch;
}

std::vector<int64_t> Batches::SamplesOf(int64_t step) const {
  const Order order(*this, EpochOf(step));
  const int64_t first = step % steps_per_epoch_ * options_.batch;
  std::vector<int64_t> records(static_cast<size_t>(BatchOf(step)));
  for (size_t i = 0; i < records.size(); ++i) {
    records[i] = order.Record(first + static_cast<int64_t>(i));
  }
  return records;
}

bool Batches::cheap() const {
  if (options_.augmenter != nullptr) return false;
  for (size_t i = 0; i < conversions_.size(); ++i) {
    if (!conversions_[i].cheap() || inputs_[i].contiguous.data == nullptr) return false;
  }
  return true;
}

void Batches::FillInput(int64_t epoch, int64_t record, size_t i, void* out, StageLap* lap) const {
  try {
    ReadInput(epoch, record, i, out, lap);
  } catch (const Error& error) {
    const std::string where = source_->Where(record);
    // What is wrong inside a file says so itself.
    throw error.message().starts_with(where) ? error : error.In(where);
  }
}

void Batches::ReadInput(int64_t epoch, int64_t record, size_t i, void* out, StageLap* lap) const {
  const Input& input = inputs_[i];
  const bool augmented = options_.augmenter != nullptr && conversions_[i].input().name == "x";
  if (input.contiguous.data != nullptr && !augmented) {
    conversions_[i].Apply(
        input.contiguous.data + static_cast<size_t>(record) * input.contiguous.stride, out);
    if (lap != nullptr) lap->End("convert");
    return;
  }
  std::byte* raw = Scratch(Purpose::kRaw, 2 * scratch_bytes_);
  source_->Read(record, input.field, raw);
  if (lap != nullptr) lap->End("read");
  if (augmented) options_.augmenter->Augment(epoch, record, raw, raw + scratch_bytes_, lap);
  conversions_[i].Apply(raw, out);
  if (lap != nullptr) lap->End("convert");
}

void Batches::FillRow(int64_t epoch, int64_t record, int64_t row, std::span<void* const> inputs,
                      StageLap* lap) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    FillInput(epoch, record, i, RowOf(inputs, i, row), lap);
  }
  if (options_.augmenter == nullptr) return;
  const auto mix = options_.augmenter->ChooseMix(epoch, record, samples());
  if (mix) MixIn(*mix, epoch, record, row, inputs, lap);
}

// The partner is read and augmented as it is where it stands itself in this epoch.
void Batches::MixIn(const Augmenter::Mix& mix, int64_t epoch, int64_t record, int64_t row,
                    std::span<void* const> inputs, StageLap* lap) const {
  const int64_t partner = selection_[mix.partner];
  double share = 1;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Field& field = outputs_[i];
    std::byte* other = Scratch(Purpose::kPartner, inputs_[i].output_bytes);
    FillInput(epoch, partner, i, other, lap);
    const int64_t count = field.shape.size();
    void* mine = RowOf(inputs, i, row);
    if (field.name == "x") {
      share = options_.augmenter->Apply(mix, epoch, record, field.dtype, mine, other, count);
    } else {
      Blend(field.dtype, mine, other, count, share);
    }
  }
  if (lap != nullptr) lap->End("mix");
}

void Batches::Fill(int64_t step, int64_t first_sample, int64_t count,
                   std::span<void* const> inputs) const {
  INGOT_ASSERT(inputs.size() == inputs_.size(), "one pointer for each data input");
  INGOT_ASSERT(first_sample >= 0 && first_sample + count <= BatchOf(step), "within the batch");
  const Order order(*this, EpochOf(step));
  const int64_t first = step % steps_per_epoch_ * options_.batch + first_sample;
  // Shuffled rows are far apart in memory: while these are converted, the same rows of the next
  // step's batch are asked for, which the same thread will most likely convert.
  const Order next(*this, EpochOf(step + 1));
  const int64_t next_first = (step + 1) % steps_per_epoch_ * options_.batch + first_sample;
  const int64_t next_count = std::min(count, BatchOf(step + 1) - first_sample);
  for (int64_t i = 0; i < count; ++i) {
    if (i < next_count) Prefetch(next.Record(next_first + i));
    const int64_t record = order.Record(first + i);
    std::optional<StageLap> lap;
    if (stage_times_ != nullptr && stage_times_->CountSample()) lap.emplace(*stage_times_);
    FillRow(EpochOf(step), record, i, inputs, lap ? &*lap : nullptr);
  }
}

void Batches::Prefetch(int64_t record) const {
  for (const Input& input : inputs_) {
    if (input.contiguous.data == nullptr) continue;
    PrefetchBytes(input.contiguous.data + static_cast<size_t>(record) * input.contiguous.stride,
                  input.contiguous.stride);
  }
}

}  // namespace ingot::data
