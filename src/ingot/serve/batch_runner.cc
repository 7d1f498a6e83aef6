// RunBatch: jobs in, one call of the backend, answers out.
#include <algorithm>
#include <cstring>

#include "ingot/base/align.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

// Memory that a thread uses for the inputs of one batch after another.
class Scratch {
 public:
  std::byte* Get(size_t bytes) {
    if (bytes > size_) {
      bytes_ = AllocateBytes(bytes);
      size_ = bytes;
    }
    return bytes_.get();
  }
  const std::byte* begin() const { return bytes_.get(); }
  const std::byte* end() const { return bytes_.get() + size_; }
  // A large batch now and then does not keep its memory for ever.
  void Trim() {
    if (size_ > kKeptBytes) {
      bytes_.reset();
      size_ = 0;
    }
  }

 private:
  static constexpr size_t kKeptBytes = 4 << 20;
  std::shared_ptr<std::byte> bytes_;
  size_t size_ = 0;
};

// The numbers that the server itself tells the model of the requests in a batch.
std::vector<int64_t> BatchNumbers(const BatchInput& made, const std::vector<JobPtr>& jobs) {
  using Kind = BatchInput::Kind;
  std::vector<int64_t> numbers;
  int64_t sum = 0, greatest = 0;
  if (made.kind == Kind::kSumFromZero) numbers.push_back(0);
  for (const JobPtr& job : jobs) {
    const Dims& shape = job->inputs[made.source].dims;
    sum += shape.size();
    greatest = std::max(greatest, shape.size());
    if (made.kind == Kind::kCount) numbers.push_back(shape.size());
    if (made.kind == Kind::kSum || made.kind == Kind::kSumFromZero) numbers.push_back(sum);
    if (made.kind != Kind::kShapes && made.kind != Kind::kFlatShapes) continue;
    // Of each row, without the batch axis.
    for (int64_t row = 0; row < job->rows; ++row) {
      numbers.insert(numbers.end(), shape.extent + 1, shape.extent + shape.rank);
    }
  }
  if (made.kind == Kind::kMaxAsShape) numbers.assign(static_cast<size_t>(greatest), 0);
  return numbers;
}

Value MakeBatchInput(const BatchInput& made, const std::vector<JobPtr>& jobs) {
  const std::vector<int64_t> numbers = BatchNumbers(made, jobs);
  const int64_t rank = jobs[0]->inputs[made.source].dims.rank - 1;
  Value value;
  value.dtype = made.dtype;
  value.dims = {static_cast<int64_t>(numbers.size())};
  if (made.kind == BatchInput::Kind::kShapes && rank > 0) value.dims = {value.dims[0] / rank, rank};
  const std::shared_ptr<std::byte> bytes = AllocateBytes(numbers.size() * 4);
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (made.dtype == DType::kF32) {
      const float number = static_cast<float>(numbers[i]);
      std::memcpy(bytes.get() + 4 * i, &number, 4);
    } else {
      const int32_t number = static_cast<int32_t>(numbers[i]);
      std::memcpy(bytes.get() + 4 * i, &number, 4);
    }
  }
  value.bytes = {bytes.get(), numbers.size() * 4};
  value.owner = bytes;
  return value;
}

// A tensor of shape `actual`, which is as `from` says, in the shape `to`: its free axes have the
// extents that those of `from` have, in their order. `actual` and the result have the batch axis,
// where there is one.
std::vector<int64_t> Reshaped(std::span<const int64_t> actual, const std::vector<int64_t>& from,
                              const std::vector<int64_t>& to, bool batched,
                              const ServedPort& port) {
  const size_t axis = batched ? 1 : 0;
  bool fits = actual.size() == from.size() + axis;
  std::vector<int64_t> extents;  // of the free axes
  for (size_t i = 0; fits && i < from.size(); ++i) {
    const int64_t extent = actual[i + axis];
    if (from[i] < 0) extents.push_back(extent);
    fits = from[i] < 0 || from[i] == extent;
  }
  if (!fits) {
    throw Error(ErrorCode::kInternal, "'" + port.name + "' has shape " + ShapeText(actual) +
                                          ", the configuration says " + ShapeText(from));
  }
  std::vector<int64_t> dims(actual.begin(), actual.begin() + static_cast<ptrdiff_t>(axis));
  size_t next = 0;
  for (const int64_t d : to) dims.push_back(d < 0 ? extents.at(next++) : d);
  return dims;
}

// The inputs of all jobs, joined, in `scratch`.
std::vector<Value> Gather(const ServedModel& model, const std::vector<JobPtr>& jobs, int64_t rows,
                          Scratch& scratch) {
  const size_t count = model.core_inputs.size();
  size_t total = kAlignment;
  for (const JobPtr& job : jobs) {
    for (const InferInput& input : job->inputs) total += input.bytes.size();
  }
  std::byte* at = scratch.Get(total + count * kAlignment);
  std::vector<Value> values(count);
  size_t next = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto made = std::find_if(model.batch_inputs.begin(), model.batch_inputs.end(),
                                   [&](const BatchInput& one) { return one.port == i; });
    if (made != model.batch_inputs.end()) {
      values[i] = MakeBatchInput(*made, jobs);
      continue;
    }
    const size_t number = next++;  // of the requests' inputs
    const ServedPort& port = model.core_inputs[i];
    Value& value = values[i];
    std::byte* const begin = at;
    for (const JobPtr& job : jobs) {
      const std::span<const std::byte> bytes = job->inputs[number].bytes;
      if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
      at += bytes.size();
    }
    value.dtype = port.dtype;
    value.bytes = {begin, at};
    const std::span<const int64_t> given = jobs[0]->inputs[number].dims.span();
    if (port.ragged) {
      int64_t elements = 0;
      for (const JobPtr& job : jobs) elements += job->inputs[number].dims.size();
      value.dims = {elements};
    } else if (port.reshaped) {
      value.dims = Reshaped(given, port.dims, port.backend_dims, model.max_batch > 0, port);
      if (model.max_batch > 0) value.dims[0] = rows;
    } else {
      value.dims.assign(given.begin(), given.end());
      if (model.max_batch > 0) value.dims[0] = rows;
    }
    at = begin + AlignUp(static_cast<size_t>(at - begin));
  }
  return values;
}

// An output may be an input handed through, whose memory is used again.
void CopyOutOf(const Scratch& scratch, Value& value) {
  if (value.bytes.data() < scratch.begin() || value.bytes.data() >= scratch.end()) return;
  std::shared_ptr<std::byte> copy = AllocateBytes(value.bytes.size());
  std::memcpy(copy.get(), value.bytes.data(), value.bytes.size());
  value.bytes = {copy.get(), value.bytes.size()};
  value.owner = std::move(copy);
}

void CheckRows(const ServedModel& model, const std::vector<Value>& values, int64_t rows) {
  if (model.max_batch == 0) return;
  for (size_t i = 0; i < values.size(); ++i) {
    const std::vector<int64_t>& dims = values[i].dims;
    if (model.core_outputs[i].ragged || (!dims.empty() && dims[0] == rows)) continue;
    throw Error(ErrorCode::kInternal, "output '" + model.core_outputs[i].name + "' of model '" +
                                          model.name + "' has shape " + ShapeText(dims) +
                                          " for a batch of " + std::to_string(rows) +
                                          ": set max_batch_size: 0 in its config.pbtxt");
  }
}

// Where the rows of each job begin in the joined bytes.
struct Cut {
  size_t begin = 0, end = 0;
};

// As the input was joined that the output follows.
std::vector<Cut> CutLikeInput(const ServedPort& port, const Value& value,
                              const std::vector<JobPtr>& jobs) {
  const size_t item = ItemSize(value.dtype);
  std::vector<Cut> cuts;
  size_t at = 0;
  for (const JobPtr& job : jobs) {
    const size_t end = at + item * static_cast<size_t>(job->inputs[port.shape_of].dims.size());
    cuts.push_back({at, end});
    at = end;
  }
  if (item == 0 || at != value.bytes.size()) {
    throw Error(ErrorCode::kInternal, "output '" + port.name + "' has shape " +
                                          ShapeText(value.dims) +
                                          ", which is not that of its batch_output's source_input");
  }
  return cuts;
}

std::vector<Cut> CutRows(const Value& value, const std::vector<JobPtr>& jobs, int64_t rows) {
  std::vector<Cut> cuts;
  size_t at = 0;
  if (value.dtype != DType::kString) {
    const size_t row = value.bytes.size() / static_cast<size_t>(rows);
    for (const JobPtr& job : jobs) {
      const size_t end = at + row * static_cast<size_t>(job->rows);
      cuts.push_back({at, end});
      at = end;
    }
    return cuts;
  }
  const std::vector<std::string_view> elements = SplitBytesElements(value.bytes, -1);
  const size_t row = elements.size() / static_cast<size_t>(rows);
  size_t element = 0;
  for (const JobPtr& job : jobs) {
    size_t end = at;
    for (size_t k = 0; k < row * static_cast<size_t>(job->rows); ++k) {
      end += 4 + elements[element++].size();
    }
    cuts.push_back({at, end});
    at = end;
  }
  return cuts;
}

const WantedOutput* FindWanted(const InferJob& job, const std::string& name) {
  for (const WantedOutput& wanted : job.wanted) {
    if (wanted.name == name) return &wanted;
  }
  return nullptr;
}

bool IsVisible(const ServedModel& model, const std::string& name) {
  return model.FindOutput(name) != nullptr;
}

void Scatter(const ServedModel& model, std::vector<Value>& values, std::vector<JobPtr>& jobs,
             int64_t rows) {
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& value = values[i];
    const ServedPort& port = model.core_outputs[i];
    const bool visible = IsVisible(model, port.name);
    std::vector<Cut> cuts;
    if (port.ragged) {
      cuts = CutLikeInput(port, value, jobs);
    } else if (jobs.size() > 1) {
      cuts = CutRows(value, jobs, rows);
    }
    for (size_t j = 0; j < jobs.size(); ++j) {
      InferJob& job = *jobs[j];
      const WantedOutput* wanted = nullptr;
      if (!job.internal) {
        if (!visible) continue;
        wanted = FindWanted(job, port.name);
        if (wanted == nullptr && !job.wanted.empty()) continue;
      }
      InferOutput& output = job.outputs.emplace_back();
      output.name = port.name;
      output.dtype = value.dtype;
      output.wanted = wanted;
      output.owner = value.owner;
      output.bytes = cuts.empty() ? value.bytes
                                  : value.bytes.subspan(cuts[j].begin, cuts[j].end - cuts[j].begin);
      if (port.ragged) {
        const std::span<const int64_t> dims = job.inputs[port.shape_of].dims.span();
        output.dims.assign(dims.begin(), dims.end());
      } else if (port.reshaped) {
        output.dims = Reshaped(value.dims, port.backend_dims, port.dims, model.max_batch > 0, port);
        if (model.max_batch > 0) output.dims[0] = job.rows;
      } else {
        output.dims = value.dims;
        if (model.max_batch > 0) output.dims[0] = job.rows;
      }
    }
  }
}

}  // namespace

bool CanJoin(const InferJob& a, const InferJob& b) {
  if (a.inputs.size() != b.inputs.size()) return false;
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    if (i < a.model->inputs.size() && a.model->inputs[i].ragged) continue;
    const Dims& x = a.inputs[i].dims;
    const Dims& y = b.inputs[i].dims;
    if (x.rank != y.rank) return false;
    for (int d = 1; d < x.rank; ++d) {
      if (x.extent[d] != y.extent[d]) return false;
    }
  }
  return true;
}

void RunBatch(const std::shared_ptr<const ServedModel>& model, std::vector<JobPtr>& jobs,
              bool alone) {
  thread_local Scratch scratch;
  int64_t rows = 0;
  for (const JobPtr& job : jobs) rows += job->rows;
  const Clock::time_point start = Clock::now();
  try {
    std::vector<Value> inputs = Gather(*model, jobs, rows, scratch);
    const Clock::time_point gathered = Clock::now();
    std::vector<Value> outputs = model->backend->Run(inputs, alone);
    const Clock::time_point computed = Clock::now();
    CheckRows(*model, outputs, rows);
    for (Value& output : outputs) CopyOutOf(scratch, output);
    Scatter(*model, outputs, jobs, rows);
    const Clock::time_point end = Clock::now();
    for (const JobPtr& job : jobs) {
      job->times.compute_start = start;
      job->times.compute_end = end;
      job->times.input_ns = Nanoseconds(gathered - start);
      job->times.infer_ns = Nanoseconds(computed - gathered);
      job->times.output_ns = Nanoseconds(end - computed);
    }
    model->statistics.AddBatch(jobs, rows);
    model->last_used_ns.store(end.time_since_epoch().count(), std::memory_order_relaxed);
  } catch (...) {
    Status status = CurrentStatus();
    const Clock::time_point now = Clock::now();
    for (const JobPtr& job : jobs) {
      job->outputs.clear();
      job->status = status;
      job->times.compute_start = start;
      job->times.compute_end = now;
      model->statistics.AddFailure(*job, now);
    }
  }
  scratch.Trim();
  for (JobPtr& job : jobs) {
    job->Finish();
    job.reset();
  }
}

}  // namespace ingot::serve
