// JSON of protobuf messages.
#include "ingot/serve/json_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include "ingot/base/error.h"

namespace ingot::serve {
namespace {

namespace pb = google::protobuf;

// protobuf writes 64-bit integers as JSON strings; clients of the protocol expect numbers.
void FixField(const pb::FieldDescriptor& field, nlohmann::ordered_json& value) {
  using Type = pb::FieldDescriptor::CppType;
  const Type type = field.cpp_type();
  if ((type == Type::CPPTYPE_INT64 || type == Type::CPPTYPE_UINT64) && value.is_string()) {
    value = type == Type::CPPTYPE_INT64
                ? nlohmann::ordered_json(std::stoll(value.get<std::string>()))
                : nlohmann::ordered_json(std::stoull(value.get<std::string>()));
  }
}

void NumbersForStrings(const pb::Message& message, nlohmann::ordered_json& json) {
  const pb::Reflection* reflection = message.GetReflection();
  const pb::Descriptor* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const pb::FieldDescriptor* field = descriptor->field(i);
    const auto found = json.find(field->name());
    if (found == json.end()) continue;
    if (field->is_map()) {
      const pb::FieldDescriptor* value = field->message_type()->map_value();
      if (value->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) continue;
      for (int k = 0; k < reflection->FieldSize(message, field); ++k) {
        const pb::Message& entry = reflection->GetRepeatedMessage(message, field, k);
        const pb::Reflection* of_entry = entry.GetReflection();
        const pb::FieldDescriptor* key = field->message_type()->map_key();
        const std::string name = key->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING
                                     ? of_entry->GetString(entry, key)
                                     : std::to_string(of_entry->GetUInt64(entry, key));
        if (found->contains(name)) {
          NumbersForStrings(of_entry->GetMessage(entry, value), (*found)[name]);
        }
      }
    } else if (field->is_repeated()) {
      int k = 0;
      for (auto& element : *found) {
        if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
          NumbersForStrings(reflection->GetRepeatedMessage(message, field, k++), element);
        } else {
          FixField(*field, element);
        }
      }
    } else if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      NumbersForStrings(reflection->GetMessage(message, field), *found);
    } else {
      FixField(*field, *found);
    }
  }
}

}  // namespace

nlohmann::ordered_json JsonOf(const pb::Message& message) {
  pb::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!pb::util::MessageToJsonString(message, &text, options).ok()) {
    throw Error(ErrorCode::kInternal, "a " + message.GetTypeName() + " cannot be written as JSON");
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(text);
  NumbersForStrings(message, json);
  return json;
}

void ReadJson(std::string_view json, const std::string& what, pb::Message& message) {
  const auto status =
      pb::util::JsonStringToMessage(pb::StringPiece(json.data(), json.size()), &message);
  if (!status.ok()) {
    throw Error(ErrorCode::kInvalidInput, what + ": " + std::string(status.message()));
  }
}

}  // namespace ingot::serve
