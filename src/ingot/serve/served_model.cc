// Comparing a request with the ports of its model.
#include "ingot/serve/served_model.h"

#include <algorithm>

namespace ingot::serve {
namespace {

std::string Names(const std::vector<ServedPort>& ports) {
  std::string text;
  for (const ServedPort& port : ports) text += (text.empty() ? "'" : ", '") + port.name + "'";
  return text;
}

// The extents with the batch axis, as clients see them.
std::string ExpectedShape(const ServedPort& port, int64_t max_batch) {
  std::vector<int64_t> dims = port.dims;
  if (max_batch > 0) dims.insert(dims.begin(), -1);
  return ShapeText(dims);
}

// Any byte but 0 is true, and kernels count on it that true is 1.
void NormaliseBools(InferInput& input) {
  const auto is_other = [](std::byte b) { return b > std::byte{1}; };
  if (std::none_of(input.bytes.begin(), input.bytes.end(), is_other)) return;
  const auto own = std::make_shared<std::vector<std::byte>>(input.bytes.begin(), input.bytes.end());
  for (std::byte& b : *own) b = std::min(b, std::byte{1});
  input.bytes = *own;
  input.owner = own;
}

}  // namespace

const ServedPort* ServedModel::FindOutput(const std::string& wanted) const {
  for (const ServedPort& port : outputs) {
    if (port.name == wanted) return &port;
  }
  return nullptr;
}

Status ServedModel::CheckInput(const ServedPort& port, const InferInput& input,
                               int64_t& rows) const {
  const std::string where = "input '" + port.name + "' of model '" + name + "': ";
  if (input.dtype != port.dtype) {
    return Invalid(where + "inference input data-type is '" + std::string(WireName(input.dtype)) +
                   "', but the model expects '" + std::string(WireName(port.dtype)) + "'");
  }
  const size_t batch_axes = max_batch > 0 ? 1 : 0;
  const std::span<const int64_t> dims = input.dims.span();
  bool fits = dims.size() == port.dims.size() + batch_axes;
  for (size_t i = 0; fits && i < port.dims.size(); ++i) {
    fits = port.dims[i] < 0 || port.dims[i] == dims[i + batch_axes];
  }
  const int64_t elements = input.dims.size();
  if (!fits || elements < 0) {
    return Invalid(where + "unexpected shape " + input.dims.ToString() + ", the model expects " +
                   ExpectedShape(port, max_batch));
  }
  if (batch_axes > 0) {
    if (dims[0] < 1) return Invalid(where + "the batch axis has no rows");
    if (rows >= 0 && rows != dims[0]) {
      return Invalid(where + "has " + std::to_string(dims[0]) + " rows, other inputs have " +
                     std::to_string(rows));
    }
    rows = dims[0];
  }
  if (port.dtype == DType::kString) {
    try {
      SplitBytesElements(input.bytes, elements);
    } catch (const Error& error) {
      return Invalid(where + error.message());
    }
    return {};
  }
  const size_t item = ItemSize(port.dtype);
  if (static_cast<uint64_t>(elements) != input.bytes.size() / item ||
      input.bytes.size() % item != 0) {
    return Invalid(where + "got " + std::to_string(input.bytes.size()) + " bytes, shape " +
                   input.dims.ToString() + " of " + std::string(WireName(port.dtype)) + " takes " +
                   std::to_string(static_cast<uint64_t>(elements) * item));
  }
  return {};
}

// Optional inputs that were not given get their defaults; where the model has a batch axis, a row
// of which is repeated.
void ServedModel::FillMissing(InferJob& job) const {
  const size_t given = job.inputs.size();
  for (const ServedPort& port : inputs) {
    if (port.fallback == nullptr) continue;
    const auto is_it = [&](const InferInput& input) { return input.name == port.name; };
    if (std::any_of(job.inputs.begin(), job.inputs.end(), is_it)) continue;
    InferInput input;
    input.name = port.name;
    input.dtype = port.dtype;
    input.bytes = port.fallback->bytes;
    input.owner = port.fallback;
    std::vector<int64_t> dims = port.fallback->dims;
    const int64_t rows =
        given > 0 && job.inputs[0].dims.rank > 0 ? job.inputs[0].dims.extent[0] : 1;
    if (max_batch > 0 && rows > 1 && rows <= max_batch && !dims.empty() && dims[0] == 1) {
      dims[0] = rows;
      const auto all = std::make_shared<std::vector<std::byte>>();
      for (int64_t i = 0; i < rows; ++i) {
        all->insert(all->end(), input.bytes.begin(), input.bytes.end());
      }
      input.bytes = *all;
      input.owner = all;
    }
    input.dims = MakeDims(dims);
    job.inputs.push_back(std::move(input));
  }
}

Status ServedModel::Check(InferJob& job) const {
  for (size_t i = 0; i < job.inputs.size(); ++i) {
    const std::string& given = job.inputs[i].name;
    const auto is_it = [&](const auto& other) { return other.name == given; };
    if (std::none_of(inputs.begin(), inputs.end(), is_it)) {
      return Invalid("unexpected inference input '" + given + "' for model '" + name +
                     "', which has " + Names(inputs));
    }
    if (std::any_of(job.inputs.begin(), job.inputs.begin() + static_cast<ptrdiff_t>(i), is_it)) {
      return Invalid("input '" + given + "' is given twice");
    }
  }
  FillMissing(job);
  int64_t rows = -1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    size_t at = i;
    while (at < job.inputs.size() && job.inputs[at].name != inputs[i].name) ++at;
    if (at >= job.inputs.size()) {
      return Invalid("expected " + std::to_string(inputs.size()) + " inputs but got " +
                     std::to_string(job.inputs.size()) + " inputs for model '" + name +
                     "': input '" + inputs[i].name + "' is missing");
    }
    if (at != i) std::swap(job.inputs[i], job.inputs[at]);
    if (Status status = CheckInput(inputs[i], job.inputs[i], rows); !status.ok()) return status;
    if (inputs[i].dtype == DType::kBool) NormaliseBools(job.inputs[i]);
  }
  job.rows = rows < 0 ? 1 : rows;
  if (max_batch > 0 && job.rows > max_batch) {
    return Invalid("inference request batch-size must be <= " + std::to_string(max_batch) +
                   " for '" + name + "', got " + std::to_string(job.rows));
  }
  for (const WantedOutput& wanted : job.wanted) {
    if (FindOutput(wanted.name) == nullptr) {
      return Invalid("unexpected inference output '" + wanted.name + "' for model '" + name +
                     "', which has " + Names(outputs));
    }
  }
  return {};
}

void Refuse(const JobPtr& job, Status status) {
  job->status = std::move(status);
  job->model->statistics.AddFailure(*job, Clock::now());
  job->Finish();
}

}  // namespace ingot::serve
