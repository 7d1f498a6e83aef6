// Reads through the cache.
#include "ingot/data/decoded_source.h"

#include "ingot/data/damaged_records.h"

namespace ingot::data {

void DecodedSource::SetFields(Field x, int64_t classes, uint64_t cache) {
  cache_ = std::make_unique<RecordCache>(size(), x.bytes(), cache);
  fields_ = {std::move(x),
             {.name = "y", .dtype = DType::kI64, .shape = Shape{}, .classes = classes}};
}

std::vector<std::optional<Error>> DecodedSource::FindDamaged() {
  auto errors = data::FindDamaged(static_cast<size_t>(size()), fields_[0].bytes(),
                                  [this](size_t i, void* out) {
                                    Decode(static_cast<int64_t>(i), out);
                                    cache_->Put(static_cast<int64_t>(i), out);
                                  });
  std::vector<bool> goes;
  for (const std::optional<Error>& error : errors) {
    goes.push_back(error.has_value());
    if (error) skipped_.push_back(error->message());
  }
  cache_->Remove(goes);
  return errors;
}

void DecodedSource::Read(int64_t record, int field, void* out) const {
  if (field == 1) {
    *static_cast<int64_t*>(out) = LabelOf(record);
    return;
  }
  if (cache_->Get(record, out)) return;
  try {
    Decode(record, out);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorrupt) throw;
    throw Error(error.code(), error.message(), hint_);
  }
  cache_->Put(record, out);
}

}  // namespace ingot::data
