// The way of a job from a front end to a scheduler and back.
#include "ingot/serve/inference.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "ingot/serve/access_control.h"
#include "ingot/serve/json_writer.h"
#include "ingot/serve/model_config.h"
#include "ingot/serve/served_model.h"
#include "ingot/serve/shadow.h"
#include "ingot/serve/tracer.h"

namespace ingot::serve {
namespace {

// "0.93:7:seven" for the greatest values of each row, as BYTES.
void Classify(const ServedModel& model, int64_t classes, InferOutput& output) {
  const ServedPort* port = model.FindOutput(output.name);
  const size_t rows =
      model.max_batch > 0 && !output.dims.empty() ? static_cast<size_t>(output.dims[0]) : 1;
  const size_t item = ItemSize(output.dtype);
  const size_t total = item == 0 ? 0 : output.bytes.size() / item;
  std::vector<double> values(total);
  ConvertElements(output.bytes.data(), output.dtype, values.data(), DType::kF64,
                  static_cast<int64_t>(total));
  const size_t row = rows == 0 ? 0 : total / rows;
  const size_t count = std::min<size_t>(row, static_cast<size_t>(classes));
  auto text = std::make_shared<std::string>();
  std::vector<size_t> order(row);
  for (size_t r = 0; r < rows; ++r) {
    const double* v = values.data() + r * row;
    // The greatest, and of equal ones the first; what is no number comes last.
    const auto comes_first = [v](size_t a, size_t b) {
      if (std::isnan(v[a]) != std::isnan(v[b])) return std::isnan(v[b]);
      return v[a] > v[b] || (!(v[a] < v[b]) && a < b);
    };
    std::iota(order.begin(), order.end(), size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                      comes_first);
    for (size_t k = 0; k < count; ++k) {
      std::string element = fmt::format("{:f}:{}", v[order[k]], order[k]);
      if (port != nullptr && order[k] < port->labels.size()) {
        element += ":" + port->labels[order[k]];
      }
      AppendBytesElement(element, *text);
    }
  }
  output.dtype = DType::kString;
  output.dims = model.max_batch > 0
                    ? std::vector<int64_t>{static_cast<int64_t>(rows), static_cast<int64_t>(count)}
                    : std::vector<int64_t>{static_cast<int64_t>(count)};
  output.bytes = std::as_bytes(std::span<const char>(text->data(), text->size()));
  output.owner = text;
}

}  // namespace

void HoldMemory(InferJob& job, MemoryBudget& budget, size_t bytes) {
  if (bytes == 0) return;
  const int64_t size = static_cast<int64_t>(bytes);
  if (!budget.TryTake(size)) {
    throw Error(ErrorCode::kOutOfMemory,
                "the requests in flight take all the memory they may; try again");
  }
  job.owners.push_back(std::shared_ptr<const void>(&budget, [size](const void* taken) {
    static_cast<MemoryBudget*>(const_cast<void*>(taken))->Give(size);
  }));
}

Status Inference::ReadSharedMemory(const SharedMemoryPlace& place, InferJob& job,
                                   InferInput& input) const {
  Status status = state_.shared_memory.Check(place.region, place.offset, place.size);
  if (status.ok()) {
    if (state_.memory != nullptr) HoldMemory(job, *state_.memory, place.size);
    const auto bytes = std::make_shared<std::vector<std::byte>>(place.size);
    status = state_.shared_memory.Read(place.region, place.offset, *bytes);
    input.bytes = *bytes;
    input.owner = bytes;
  }
  if (!status.ok()) status.message = "input '" + input.name + "': " + status.message;
  return status;
}

void Inference::Start(const JobPtr& job, const std::string& model, const std::string& version) {
  job->times.received = Clock::now();
  state_.in_flight.fetch_add(1, std::memory_order_relaxed);
  try {
    if (!state_.access->MayUse(job->key_name, model)) {
      job->status = {StatusCode::kPermissionDenied,
                     "the API key '" + job->key_name + "' may not use model '" + model + "'"};
      job->Finish();
      return;
    }
    job->model = state_.repository->Find(model, version, job->status);
    if (job->model != nullptr) {
      StartFound(job);
      return;
    }
  } catch (...) {
    job->status = CurrentStatus();
  }
  job->Finish();
}

void Inference::StartFound(const JobPtr& job) {
  Status status =
      job->model->decoupled && !job->streamed
          ? Unsupported("model '" + job->model->name +
                        "' has a decoupled transaction policy: only ModelStreamInfer, generate "
                        "and generate_stream may ask it")
          : job->model->Check(*job);
  if (!status.ok()) {
    Refuse(job, std::move(status));
    return;
  }
  job->status = std::move(status);
  // Not of ensembles, whose models may be loaded again while they stay.
  const bool cached = state_.cache != nullptr && job->model->cache_responses &&
                      job->model->backend != nullptr && job->sequence.id.empty();
  if (cached) {
    const Clock::time_point begin = Clock::now();
    std::string key = ResponseCache::KeyOf(*job);
    if (state_.cache->Find(key, *job)) {
      const Clock::time_point now = Clock::now();
      job->from_cache = true;
      job->times.queued = job->times.compute_start = job->times.compute_end = now;
      job->model->statistics.AddCacheHit(*job, Nanoseconds(now - begin), now);
      job->Finish();
      return;
    }
    job->cache_key = std::move(key);
  }
  if (job->model->shadow != nullptr && job->sequence.id.empty()) {
    job->model->shadow->Begin(job, *state_.repository);
  }
  job->model->scheduler->Submit(job);
}

Status Inference::WriteOutputs(InferJob& job) const {
  for (InferOutput& output : job.outputs) {
    if (output.wanted == nullptr) continue;
    if (output.wanted->classes > 0) {
      if (output.dtype == DType::kString) {
        return Invalid("output '" + output.name + "': BYTES have no classification");
      }
      Classify(*job.model, output.wanted->classes, output);
    }
    const SharedMemoryPlace& place = output.wanted->place;
    if (place.region.empty()) continue;
    Status status =
        output.bytes.size() <= place.size
            ? state_.shared_memory.Check(place.region, place.offset, place.size)
            : Invalid("shared memory size specified with the request (" +
                      std::to_string(place.size) + " bytes) should be at least " +
                      std::to_string(output.bytes.size()) + " bytes to hold the results");
    if (status.ok()) {
      status = state_.shared_memory.Write(place.region, place.offset, output.bytes);
    }
    if (!status.ok()) {
      status.message = "output '" + output.name + "': " + status.message;
      return status;
    }
  }
  return {};
}

void Inference::Complete(InferJob& job) {
  state_.in_flight.fetch_sub(1, std::memory_order_relaxed);
  if (state_.tracer != nullptr) state_.tracer->Add(job);
  if (job.shadow != nullptr) std::exchange(job.shadow, nullptr)->Give(job, false);
  if (!job.status.ok()) return;
  try {
    if (!job.cache_key.empty()) {
      const Clock::time_point begin = Clock::now();
      state_.cache->Insert(job.cache_key, job);
      job.model->statistics.AddCacheMiss(Nanoseconds(Clock::now() - begin));
    }
    if (!job.wanted.empty()) job.status = WriteOutputs(job);
  } catch (...) {
    job.status = CurrentStatus();
  }
  if (!job.status.ok()) job.outputs.clear();
}

}  // namespace ingot::serve
