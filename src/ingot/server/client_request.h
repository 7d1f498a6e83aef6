// The requests that `ingot client` sends, and what it makes of the answers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ingot/formats/bytes.h"
#include "ingot/serve/http_client.h"

namespace ingot::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct ClientRequest {
  Headers headers;
  std::string body;
};

// How the answer's tensors are to come.
enum class AnswerForm {
  kFast,      // in binary where the request is
  kReadable,  // in JSON, but for types that JSON has not
  kExact,     // in binary
};

// A request to a model whose metadata, in JSON, are `model`. `values`: NAME=FILE.npy or NAME=JSON;
// what is not given is zeros, `batch` rows of them. Numbers become the type of their input: FP16
// and BF16 by rounding to the nearest. Throws Error(kInvalidInput) that names the input, and as
// formats::ReadNpy does.
ClientRequest MakeRequest(const std::string& model, const std::vector<std::string>& values,
                          int64_t batch, AnswerForm form);

struct ClientAnswer {
  std::string json;  // `data` of what came in binary are filled in, but where `form` is kExact
  std::vector<formats::NamedTensor> tensors;  // what came in binary
};

// Throws Error(kInvalidInput) where the answer is an error, or none of the protocol.
ClientAnswer ReadAnswer(const serve::HttpAnswer& answer, AnswerForm form);

// The tensors as an npz file. BF16, which NumPy has not, becomes f32; BYTES become texts. Throws
// Error(kInvalidInput) for BYTES that are no UTF-8.
void WriteTensors(const std::vector<formats::NamedTensor>& tensors, const std::string& file);

}  // namespace ingot::server
