/* Runs an ONNX model on numbers of its own choosing, and trains a small one, through Ingot's C
 * interface.
 *
 *   cc run_model.c $(pkg-config --cflags --libs ingot) -o run_model
 *   ./run_model model.onnx
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ingot/c_api.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, ingot_last_error());
  return 1;
}

/* Ones for every dynamic extent, and zeros everywhere. */
static int make_input(const ingot_session* session, size_t index, ingot_tensor* input) {
  ingot_tensor port = {.struct_size = sizeof(port)};
  if (ingot_session_input(session, index, &port) != INGOT_OK) return fail("input");
  if (port.dtype != INGOT_F32) {
    fprintf(stderr, "%s is no tensor of f32\n", ingot_session_input_name(session, index));
    return 1;
  }
  int64_t* dims = calloc((size_t)port.rank + 1, sizeof(int64_t));
  size_t count = 1;
  for (int32_t i = 0; i < port.rank; ++i) {
    dims[i] = port.dims[i] < 0 ? 1 : port.dims[i];
    count *= (size_t)dims[i];
  }
  *input = (ingot_tensor){.struct_size = sizeof(*input),
                          .dtype = INGOT_F32,
                          .rank = port.rank,
                          .dims = dims,
                          .data = calloc(count + 1, sizeof(float)),
                          .data_size = count * sizeof(float)};
  return 0;
}

static int run_model(const char* path) {
  ingot_session_options options = {.struct_size = sizeof(options), .threads = 1};
  ingot_session* session = NULL;
  if (ingot_session_load(path, &options, &session) != INGOT_OK) return fail(path);
  size_t count = ingot_session_input_count(session);
  ingot_tensor* inputs = calloc(count + 1, sizeof(ingot_tensor));
  int status = 0;
  for (size_t i = 0; i < count && status == 0; ++i) status = make_input(session, i, &inputs[i]);
  ingot_outputs* outputs = NULL;
  if (status == 0 && ingot_session_run(session, inputs, count, &outputs) != INGOT_OK) {
    status = fail("run");
  }
  for (size_t i = 0; i < ingot_outputs_count(outputs); ++i) {
    ingot_tensor output = {.struct_size = sizeof(output)};
    if (ingot_outputs_get(outputs, i, &output) != INGOT_OK) return fail("output");
    printf("%s:", ingot_session_output_name(session, i));
    for (int32_t axis = 0; axis < output.rank; ++axis) printf(" %" PRId64, output.dims[axis]);
    if (output.dtype == INGOT_F32 && output.data_size > 0) {
      printf(", first %g", (double)((const float*)output.data)[0]);
    }
    printf("\n");
  }
  ingot_outputs_free(outputs);
  for (size_t i = 0; i < count; ++i) {
    free((void*)inputs[i].dims);
    free(inputs[i].data);
  }
  free(inputs);
  ingot_session_free(session);
  return status;
}

static const char* const job =
    "data: {source: {synthetic: {shape: [8], classes: 3, samples: 256}}, batch: 32}\n"
    "model: {layers: [{dense: {units: 16, activation: relu}}, {dense: 3}]}\n"
    "loss: softmax_cross_entropy\n"
    "optimizer: {adam: {learning_rate: 0.01}}\n"
    "epochs: 2\n";

static int train(void) {
  ingot_trainer* trainer = NULL;
  if (ingot_trainer_create(job, NULL, &trainer) != INGOT_OK) return fail("job");
  double loss = 0;
  int status = 0;
  while (status == 0 && ingot_trainer_step_count(trainer) < ingot_trainer_total_steps(trainer)) {
    if (ingot_trainer_step(trainer, 4, &loss) != INGOT_OK) status = fail("step");
  }
  if (status == 0) {
    printf("%" PRId64 " steps, loss %.4f\n", ingot_trainer_step_count(trainer), loss);
  }
  ingot_trainer_free(trainer);
  return status;
}

int main(int argc, char** argv) {
  printf("ingot %s, C interface %" PRId32 "\n", ingot_version(), ingot_c_api_version());
  if (argc > 1 && strcmp(argv[1], "--train") != 0) return run_model(argv[1]);
  return train();
}
