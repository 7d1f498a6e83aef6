// generate and generate_stream.
#include "ingot/serve/rest_generate.h"

#include <nlohmann/json.hpp>

#include "ingot/serve/compression.h"
#include "ingot/serve/json_reader.h"
#include "ingot/serve/json_writer.h"
#include "ingot/serve/rest.h"
#include "ingot/serve/rest_infer.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

class GenerateJob : public InferJob, public std::enable_shared_from_this<GenerateJob> {
 public:
  GenerateJob(std::shared_ptr<Call> from, Inference& inference, bool stream)
      : call_(std::move(from)), inference_(inference), stream_(stream) {}

  void Finish() override {
    call_->executor->Dispatch([self = shared_from_this()] { self->Respond(); });
  }

 private:
  // {"model_name":..., "model_version":..., OUTPUT: value or list}
  std::string Json() const {
    std::string out = "{\"model_name\":";
    AppendJsonString(model->name, out);
    out += ",\"model_version\":\"" + std::to_string(model->version) + "\"";
    if (!id.empty()) {
      out += ",\"id\":";
      AppendJsonString(id, out);
    }
    for (const InferOutput& output : outputs) {
      out += ',';
      AppendJsonString(output.name, out);
      out += ':';
      std::string values;
      AppendTensorData(output.dtype, output.bytes, values);
      int64_t count = 1;
      for (const int64_t d : output.dims) count *= d;
      out += count == 1 ? values.substr(1, values.size() - 2) : values;
    }
    return out + "}";
  }

  void Respond() {
    inference_.Complete(*this);
    std::string json;
    try {
      if (status.ok()) json = Json();
    } catch (...) {
      status = CurrentStatus();
    }
    if (!stream_) {
      Response response;
      response.body = std::move(json);
      call_->Respond(status.ok() ? std::move(response) : ErrorResponse(status));
      return;
    }
    Response head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.status = HttpStatus(status.code);
    head.headers.emplace_back("Cache-Control", "no-cache");
    call_->Begin(std::move(head));
    call_->Write("data: " + (status.ok() ? json : ErrorResponse(status).body) + "\n\n");
    call_->End({});
  }

  std::shared_ptr<Call> call_;
  Inference& inference_;
  const bool stream_;
};

// One row of the port's shape, from a scalar or a list of values.
void ReadGenerateInput(JsonReader& reader, const ServedModel& model, const ServedPort& port,
                       InferInput& input) {
  input.name = port.name;
  input.dtype = port.dtype;
  auto values = std::make_shared<std::string>();
  if (reader.Peek() == JsonReader::Kind::kArray) {
    ReadTensorData(reader, port.dtype, *values);
  } else {
    const std::string one = "[" + std::string(reader.Skip()) + "]";
    JsonReader again(one);
    ReadTensorData(again, port.dtype, *values);
  }
  input.bytes = std::as_bytes(std::span<const char>(values->data(), values->size()));
  input.owner = values;
  int64_t count = port.dtype == DType::kString
                      ? static_cast<int64_t>(SplitBytesElements(input.bytes, -1).size())
                      : static_cast<int64_t>(values->size() / ItemSize(port.dtype));
  std::vector<int64_t> dims = port.dims;
  int64_t known = 1;
  int open = 0;
  for (const int64_t d : dims) {
    if (d < 0) {
      ++open;
    } else {
      known *= d;
    }
  }
  // One open extent takes what is there; further ones are 1.
  for (int64_t& d : dims) {
    if (d >= 0) continue;
    d = open == 1 && known > 0 ? count / known : 1;
    --open;
  }
  if (model.max_batch > 0) dims.insert(dims.begin(), 1);
  input.dims = MakeDims(dims);
}

}  // namespace

void StartGenerate(const std::shared_ptr<Call>& call, const std::string& name,
                   const std::string& version, bool stream, ServerState& state,
                   Inference& inference) {
  const std::string_view encoding = call->headers.Get("content-encoding");
  if (!encoding.empty()) {
    call->body = Decompress(call->body, ParseEncoding(encoding), state.options.limits.body_bytes);
  }
  Status status;
  const auto model = state.repository->Find(name, version, status);
  if (model == nullptr) {
    RespondError(*call, status);
    return;
  }
  auto job = std::make_shared<GenerateJob>(call, inference, stream);
  job->trace_parent = call->headers.Get("traceparent");
  job->key_name = call->key_name;
  HoldMemory(*job, *state.memory, encoding.empty() ? 0 : call->body.size());
  JsonReader reader(call->body);
  std::string key;
  reader.BeginObject();
  while (reader.NextKey(key)) {
    const ServedPort* port = nullptr;
    for (const ServedPort& known : model->inputs) {
      if (known.name == key) port = &known;
    }
    if (port != nullptr) {
      try {
        ReadGenerateInput(reader, *model, *port, job->inputs.emplace_back());
      } catch (const Error& error) {
        throw error.In("input '" + key + "'");
      }
    } else if (key == "id" && reader.Peek() == JsonReader::Kind::kString) {
      reader.String(job->id);
    } else if (key == "parameters" && reader.Peek() == JsonReader::Kind::kObject) {
      std::string parameter;
      reader.BeginObject();
      while (reader.NextKey(parameter)) {
        Parameter value = ReadParameter(reader);
        if (!TakeSchedulingParameter(parameter, value, *job)) {
          job->parameters.emplace_back(parameter, std::move(value));
        }
      }
    } else {
      Parameter value = ReadParameter(reader);
      if (!TakeSchedulingParameter(key, value, *job)) job->parameters.emplace_back(key, value);
    }
  }
  reader.End();
  call->on_cancel = [weak = std::weak_ptr<GenerateJob>(job)] {
    if (const auto cancelled = weak.lock()) cancelled->cancelled.store(true);
  };
  job->streamed = true;
  inference.Start(job, name, std::to_string(model->version));
}

}  // namespace ingot::serve
