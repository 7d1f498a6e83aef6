// Protobuf messages as JSON, as clients of the REST protocol expect it: names as in the .proto,
// every key present, 64-bit integers as numbers.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace google::protobuf {
class Message;
}

namespace ingot::serve {

nlohmann::ordered_json JsonOf(const google::protobuf::Message& message);
// Throws Error(kInvalidInput): `what` names it.
void ReadJson(std::string_view json, const std::string& what, google::protobuf::Message& message);

}  // namespace ingot::serve
