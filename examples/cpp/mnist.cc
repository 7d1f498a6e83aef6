// The MNIST job as a C++ program: mnist_example RUN_DIRECTORY [FOLDER_WITH_IDX_FILES]
#include <cstdio>

#include <ingot/ingot.h>

constexpr char kJob[] = R"(
epochs: 10
data: {source: mnist, batch: 128}
model:
  layers:
    - flatten
    - dense: {units: 64, activation: relu, kernel_initializer: he_uniform}
    - dense: {units: 10, activation: softmax, kernel_initializer: he_uniform}
loss: softmax_cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.001}}
)";

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s RUN_DIRECTORY [FOLDER_WITH_IDX_FILES]\n", argv[0]);
    return 2;
  }
  try {
    ingot::TrainRequest request;
    request.job = ingot::ParseJob(kJob);
    if (argc > 2) request.job.data.folder = argv[2];
    request.out = argv[1];
    const ingot::TrainResult result = ingot::Train(request);
    std::printf("test accuracy %.2f%% after %lld steps in %.2f s\n",
                100 * result.summary.test_accuracy.value_or(0),
                static_cast<long long>(result.summary.steps), result.summary.wall_seconds);
    return 0;
  } catch (const ingot::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return ingot::ExitStatus(error.code());
  }
}
