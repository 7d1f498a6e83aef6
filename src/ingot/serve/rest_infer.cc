// The infer request and its answer in JSON and binary.
#include "ingot/serve/rest_infer.h"

#include <algorithm>

#include "ingot/serve/json_reader.h"
#include "ingot/serve/json_writer.h"
#include "ingot/serve/served_model.h"

namespace ingot::serve {
namespace {

// The parameters of a tensor.
struct TensorParameters {
  int64_t binary_size = -1;
  bool binary_set = false, binary = false;
  int64_t classes = 0;
  SharedMemoryPlace place;
};

class RequestReader {
 public:
  RequestReader(const std::string& body, size_t json_bytes, bool allow_shared_memory,
                const Inference& inference, InferJob& job)
      : body_(body),
        json_(std::string_view(body).substr(0, json_bytes)),
        binary_at_(json_bytes),
        allow_shared_memory_(allow_shared_memory),
        inference_(inference),
        job_(job) {}

  bool binary_by_default = false;

  void Read() {
    JsonReader reader(json_);
    bool has_inputs = false;
    reader.BeginObject();
    while (reader.NextKey(key_)) {
      if (key_ == "id") {
        if (reader.Peek() != JsonReader::Kind::kString) reader.Fail("'id' must be a string");
        reader.String(job_.id);
      } else if (key_ == "parameters") {
        ReadParameters(reader);
      } else if (key_ == "inputs") {
        has_inputs = true;
        ReadList(reader, "inputs", [&] { ReadInput(reader); });
      } else if (key_ == "outputs") {
        ReadList(reader, "outputs", [&] { ReadOutput(reader); });
      } else {
        reader.Skip();  // as the protocol asks: unknown fields are passed over
      }
    }
    reader.End();
    if (!has_inputs) ThrowInvalid("the request has no 'inputs'");
    if (binary_at_ != body_.size()) {
      ThrowInvalid("the body has " + std::to_string(body_.size() - binary_at_) +
                   " bytes more than its inputs' binary_data_size say");
    }
    for (WantedOutput& wanted : job_.wanted) {
      if (!explicit_.empty() &&
          std::find(explicit_.begin(), explicit_.end(), wanted.name) != explicit_.end()) {
        continue;
      }
      wanted.binary = binary_by_default;
    }
  }

 private:
  template <typename F>
  void ReadList(JsonReader& reader, const char* name, F&& one) {
    if (reader.Peek() != JsonReader::Kind::kArray) {
      reader.Fail("'" + std::string(name) + "' must be an array");
    }
    reader.BeginArray();
    while (reader.NextElement()) {
      if (reader.Peek() != JsonReader::Kind::kObject) {
        reader.Fail("an element of '" + std::string(name) + "' must be an object");
      }
      one();
    }
  }

  void ReadParameters(JsonReader& reader) {
    std::string name;
    reader.BeginObject();
    while (reader.NextKey(name)) {
      if (reader.Peek() == JsonReader::Kind::kNull || reader.Peek() == JsonReader::Kind::kArray ||
          reader.Peek() == JsonReader::Kind::kObject) {
        reader.Fail("parameter '" + name + "' must be a string, a number or a bool");
      }
      Parameter value = ReadParameter(reader);
      if (name == "binary_data_output") {
        const bool* flag = std::get_if<bool>(&value);
        if (flag == nullptr) reader.Fail("parameter 'binary_data_output' must be true or false");
        binary_by_default = *flag;
      } else if (!TakeSchedulingParameter(name, value, job_)) {
        job_.parameters.emplace_back(name, std::move(value));
      }
    }
  }

  TensorParameters ReadTensorParameters(JsonReader& reader, const std::string& where) {
    TensorParameters p;
    std::string name;
    reader.BeginObject();
    while (reader.NextKey(name)) {
      if (name == "binary_data_size") {
        p.binary_size = static_cast<int64_t>(std::min<uint64_t>(reader.Uint(), INT64_MAX));
      } else if (name == "binary_data") {
        p.binary = reader.Bool();
        p.binary_set = true;
      } else if (name == "classification") {
        p.classes = static_cast<int64_t>(std::min<uint64_t>(reader.Uint(), 1 << 20));
      } else if (name == "shared_memory_region") {
        reader.String(p.place.region);
      } else if (name == "shared_memory_offset") {
        p.place.offset = reader.Uint();
      } else if (name == "shared_memory_byte_size") {
        p.place.size = reader.Uint();
      } else {
        reader.Skip();
      }
    }
    if (!p.place.region.empty() && !allow_shared_memory_) {
      ThrowInvalid(where + ": shared memory is not allowed here");
    }
    return p;
  }

  void ReadInput(JsonReader& reader) {
    InferInput& input = job_.inputs.emplace_back();
    TensorParameters parameters;
    bool has_shape = false, has_type = false, has_data = false;
    std::string_view late;  // the data, where the type comes after them
    std::string type;
    std::shared_ptr<std::string> values;
    reader.BeginObject();
    while (reader.NextKey(key_)) {
      if (key_ == "name") {
        if (reader.Peek() != JsonReader::Kind::kString)
          reader.Fail("an input's 'name' must be a string");
        reader.String(input.name);
      } else if (key_ == "datatype") {
        if (reader.Peek() != JsonReader::Kind::kString) {
          reader.Fail("'datatype' of input '" + input.name + "' must be a string");
        }
        reader.String(type);
        input.dtype = ParseWireType(type);
        has_type = true;
        if (input.dtype == DType::kUndefined) {
          reader.Fail("'datatype' of input '" + input.name + "': unknown type '" + type + "'");
        }
      } else if (key_ == "shape") {
        ReadShape(reader, input);
        has_shape = true;
      } else if (key_ == "parameters") {
        parameters = ReadTensorParameters(reader, "input '" + input.name + "'");
      } else if (key_ == "data") {
        has_data = true;
        if (reader.Peek() != JsonReader::Kind::kArray) {
          reader.Fail("'data' of input '" + input.name + "' must be an array");
        }
        if (has_type) {
          values = std::make_shared<std::string>();
          ReadTensorData(reader, input.dtype, *values);
        } else {
          late = reader.Skip();
        }
      } else {
        reader.Skip();
      }
    }
    const std::string where = "input '" + input.name + "': ";
    if (input.name.empty()) ThrowInvalid("an input has no 'name'");
    if (!has_type) ThrowInvalid(where + "'datatype' is missing");
    if (!has_shape) ThrowInvalid(where + "'shape' is missing");
    if (late.data() != nullptr) {
      values = std::make_shared<std::string>();
      JsonReader again(late);
      ReadTensorData(again, input.dtype, *values);
    }
    if (parameters.binary_size >= 0) {
      if (has_data) ThrowInvalid(where + "has both 'data' and 'binary_data_size'");
      const size_t left = body_.size() - binary_at_;
      if (static_cast<uint64_t>(parameters.binary_size) > left) {
        ThrowInvalid(where + "binary_data_size " + std::to_string(parameters.binary_size) +
                     ", but " + std::to_string(left) + " bytes are left in the body");
      }
      const size_t size = static_cast<size_t>(parameters.binary_size);
      input.bytes = std::as_bytes(std::span<const char>(body_.data() + binary_at_, size));
      binary_at_ += size;
    } else if (!parameters.place.region.empty()) {
      if (has_data) ThrowInvalid(where + "has both 'data' and 'shared_memory_region'");
      const Status status = inference_.ReadSharedMemory(parameters.place, job_, input);
      if (!status.ok()) ThrowInvalid(status.message);
    } else if (has_data) {
      input.bytes = std::as_bytes(std::span<const char>(values->data(), values->size()));
      input.owner = values;
    } else {
      ThrowInvalid(where +
                   "has no data: expected 'data', 'binary_data_size' or 'shared_memory_region'");
    }
  }

  void ReadShape(JsonReader& reader, InferInput& input) {
    if (reader.Peek() != JsonReader::Kind::kArray) {
      reader.Fail("'shape' of input '" + input.name + "' must be an array");
    }
    reader.BeginArray();
    input.dims.rank = 0;
    while (reader.NextElement()) {
      if (input.dims.rank == kMaxRank) {
        reader.Fail("'shape' of input '" + input.name + "' has more than " +
                    std::to_string(kMaxRank) + " axes");
      }
      const int64_t extent = reader.Int();
      if (extent < 0) {
        reader.Fail("'shape' of input '" + input.name + "': extent " + std::to_string(extent) +
                    " is negative");
      }
      input.dims.extent[input.dims.rank++] = extent;
    }
  }

  void ReadOutput(JsonReader& reader) {
    WantedOutput& wanted = job_.wanted.emplace_back();
    TensorParameters parameters;
    reader.BeginObject();
    while (reader.NextKey(key_)) {
      if (key_ == "name") {
        if (reader.Peek() != JsonReader::Kind::kString) {
          reader.Fail("an output's 'name' must be a string");
        }
        reader.String(wanted.name);
      } else if (key_ == "parameters") {
        parameters = ReadTensorParameters(reader, "output '" + wanted.name + "'");
      } else {
        reader.Skip();
      }
    }
    if (wanted.name.empty()) ThrowInvalid("an output has no 'name'");
    wanted.binary = parameters.binary;
    wanted.classes = parameters.classes;
    wanted.place = std::move(parameters.place);
    if (parameters.binary_set) explicit_.push_back(wanted.name);
  }

  const std::string& body_;
  const std::string_view json_;
  size_t binary_at_;
  const bool allow_shared_memory_;
  const Inference& inference_;
  InferJob& job_;
  std::string key_;
  std::vector<std::string> explicit_;  // outputs that say whether they are to be binary
};

}  // namespace

void ReadInferRequest(const std::string& body, int64_t json_bytes, bool allow_shared_memory,
                      const Inference& inference, InferJob& job, bool& binary_by_default) {
  if (json_bytes > static_cast<int64_t>(body.size())) {
    ThrowInvalid("Inference-Header-Content-Length is " + std::to_string(json_bytes) +
                 ", but the body has " + std::to_string(body.size()) + " bytes");
  }
  RequestReader reader(body, json_bytes < 0 ? body.size() : static_cast<size_t>(json_bytes),
                       allow_shared_memory, inference, job);
  reader.Read();
  binary_by_default = reader.binary_by_default;
}

Response WriteInferResponse(const InferJob& job, bool binary_by_default, int64_t& json_bytes) {
  Response response;
  std::string& out = response.body;
  out.reserve(256);
  out += '{';
  if (!job.id.empty()) {
    out += "\"id\":";
    AppendJsonString(job.id, out);
    out += ',';
  }
  out += "\"model_name\":";
  AppendJsonString(job.model->name, out);
  out += ",\"model_version\":\"";
  AppendJsonNumber(job.model->version, out);
  out += '"';
  if (!job.sequence.id.empty()) {
    out += ",\"parameters\":{\"sequence_id\":";
    if (job.sequence.number != 0) {
      AppendJsonNumber(job.sequence.number, out);
    } else {
      AppendJsonString(job.sequence.id, out);
    }
    out += ",\"sequence_start\":";
    out += job.sequence.start ? "true" : "false";
    out += ",\"sequence_end\":";
    out += job.sequence.end ? "true}" : "false}";
  }
  out += ",\"outputs\":[";
  bool first = true;
  for (const InferOutput& output : job.outputs) {
    if (!first) out += ',';
    first = false;
    out += "{\"name\":";
    AppendJsonString(output.name, out);
    out += ",\"datatype\":\"";
    out += WireName(output.dtype);
    out += "\",\"shape\":";
    AppendJsonInts(output.dims, out);
    const bool binary = output.wanted != nullptr ? output.wanted->binary : binary_by_default;
    if (output.wanted != nullptr && !output.wanted->place.region.empty()) {
      out += ",\"parameters\":{\"shared_memory_region\":";
      AppendJsonString(output.wanted->place.region, out);
      out += ",\"shared_memory_offset\":";
      AppendJsonNumber(output.wanted->place.offset, out);
      out += ",\"shared_memory_byte_size\":";
      AppendJsonNumber(output.bytes.size(), out);
      out += "}}";
    } else if (binary) {
      out += ",\"parameters\":{\"binary_data_size\":";
      AppendJsonNumber(output.bytes.size(), out);
      out += "}}";
      response.pieces.push_back({output.bytes, output.owner});
    } else {
      out += ",\"data\":";
      AppendTensorData(output.dtype, output.bytes, out);
      out += '}';
    }
  }
  out += "]}";
  json_bytes = -1;
  if (!response.pieces.empty()) {
    json_bytes = static_cast<int64_t>(out.size());
    response.content_type = "application/octet-stream";
    response.headers.emplace_back("Inference-Header-Content-Length", std::to_string(out.size()));
  }
  return response;
}

}  // namespace ingot::serve
