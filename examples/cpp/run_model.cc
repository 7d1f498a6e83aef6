// Runs an ONNX model from C++, several times at once: run_model MODEL.onnx
#include <cstdio>
#include <thread>
#include <vector>

#include <ingot/base/error.h>
#include <ingot/infer/session.h>

namespace {

// Zeros; dynamic extents are 1.
std::vector<ingot::Tensor> MakeInputs(const ingot::infer::Session& session) {
  std::vector<ingot::Tensor> inputs;
  for (const ingot::infer::PortInfo& port : session.inputs()) {
    std::vector<int64_t> dims;
    for (const int64_t dim : port.dims) dims.push_back(dim < 0 ? 1 : dim);
    inputs.emplace_back(port.dtype, ingot::Shape(dims));
  }
  return inputs;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL.onnx\n", argv[0]);
    return 2;
  }
  try {
    const auto session = ingot::infer::Session::Load(argv[1]);
    std::printf("the model wants: %s\n", session->DescribeInputs().c_str());
    const std::vector<ingot::Tensor> inputs = MakeInputs(*session);
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) session->Run(inputs);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::vector<ingot::Tensor> outputs = session->Run(inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      std::printf("%s is %s\n", session->outputs()[i].name.c_str(), outputs[i].Describe().c_str());
    }
    return 0;
  } catch (const ingot::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
