// Ingot's stable C interface: run ONNX models and train jobs from any language.
//
// Link libingot (find_package(ingot) gives ingot::c, pkg-config gives ingot). Within one
// INGOT_C_API_VERSION functions and fields are only added: each struct that you fill begins with
// its size as you were compiled with it, and what you do not know of is as if it were zero.
//
// Every function that can fail returns INGOT_OK or what went wrong; ingot_last_error() then has the
// message, for this thread, until its next call. No exception and no signal crosses this interface.
// Handles are freed by their own function; NULL is allowed there. A session may be used by many
// threads at once, a trainer by one at a time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define INGOT_API
#else
#define INGOT_API __attribute__((visibility("default")))
#endif

#define INGOT_C_API_VERSION 1

typedef enum ingot_status {
  INGOT_OK = 0,
  INGOT_FAILED = 1,     /* the work failed: no memory, a full disk, a loss that is not finite */
  INGOT_WRONG_INPUT = 2 /* what was given is wrong: a file, a model, a job, an argument */
} ingot_status;

/* Element types: the numbers of ONNX's TensorProto.DataType. */
typedef enum ingot_dtype {
  INGOT_F32 = 1,
  INGOT_U8 = 2,
  INGOT_I8 = 3,
  INGOT_U16 = 4,
  INGOT_I16 = 5,
  INGOT_I32 = 6,
  INGOT_I64 = 7,
  INGOT_BOOL = 9,
  INGOT_F16 = 10,
  INGOT_F64 = 11,
  INGOT_U32 = 12,
  INGOT_U64 = 13,
  INGOT_BF16 = 16
} ingot_dtype;

/* A tensor in memory, row-major. The memory belongs to whoever made it. */
typedef struct ingot_tensor {
  size_t struct_size; /* sizeof(ingot_tensor) */
  int32_t dtype;      /* an ingot_dtype */
  int32_t rank;
  const int64_t* dims; /* [rank]; in what a model says of its inputs, -1 where it is dynamic */
  void* data;          /* NULL in what a model says of its inputs and outputs */
  size_t data_size;    /* bytes */
} ingot_tensor;

/* The version of this interface that the library has, and its own ("0.1.0"). */
INGOT_API int32_t ingot_c_api_version(void);
INGOT_API const char* ingot_version(void);
/* "" where nothing went wrong yet. */
INGOT_API const char* ingot_last_error(void);

/* ---- models ---- */

typedef struct ingot_session ingot_session;
typedef struct ingot_outputs ingot_outputs;

typedef enum ingot_precision { INGOT_PRECISION_F32 = 0, INGOT_PRECISION_BF16 = 1 } ingot_precision;

typedef struct ingot_session_options {
  size_t struct_size; /* sizeof(ingot_session_options) */
  int32_t threads;    /* 0: the CPUs that this process may use */
  int32_t precision;  /* an ingot_precision */
} ingot_session_options;

/* `options` may be NULL. */
INGOT_API ingot_status ingot_session_load(const char* path, const ingot_session_options* options,
                                          ingot_session** session);
INGOT_API void ingot_session_free(ingot_session* session);

INGOT_API size_t ingot_session_input_count(const ingot_session* session);
INGOT_API size_t ingot_session_output_count(const ingot_session* session);
/* NULL beyond the last one. */
INGOT_API const char* ingot_session_input_name(const ingot_session* session, size_t index);
INGOT_API const char* ingot_session_output_name(const ingot_session* session, size_t index);
/* Type and extents; the pointers in `port` live as long as the session. */
INGOT_API ingot_status ingot_session_input(const ingot_session* session, size_t index,
                                           ingot_tensor* port);
INGOT_API ingot_status ingot_session_output(const ingot_session* session, size_t index,
                                            ingot_tensor* port);

/* Inputs in the order of the model's. The outputs belong to you: ingot_outputs_free. */
INGOT_API ingot_status ingot_session_run(const ingot_session* session, const ingot_tensor* inputs,
                                         size_t input_count, ingot_outputs** outputs);
/* Writes into memory of yours, of the right types and sizes; allocates nothing once shapes repeat.
 */
INGOT_API ingot_status ingot_session_run_into(const ingot_session* session,
                                              const ingot_tensor* inputs, size_t input_count,
                                              const ingot_tensor* outputs, size_t output_count);

INGOT_API size_t ingot_outputs_count(const ingot_outputs* outputs);
/* The pointers in `tensor` live as long as the outputs. */
INGOT_API ingot_status ingot_outputs_get(const ingot_outputs* outputs, size_t index,
                                         ingot_tensor* tensor);
INGOT_API void ingot_outputs_free(ingot_outputs* outputs);

/* ---- training ---- */

typedef struct ingot_trainer ingot_trainer;

typedef struct ingot_trainer_options {
  size_t struct_size; /* sizeof(ingot_trainer_options) */
  int32_t threads;    /* 0: the CPUs that this process may use */
} ingot_trainer_options;

/* A job from the text of a job file; files in it are relative to the working directory. `options`
 * may be NULL. */
INGOT_API ingot_status ingot_trainer_create(const char* job_yaml,
                                            const ingot_trainer_options* options,
                                            ingot_trainer** trainer);
INGOT_API void ingot_trainer_free(ingot_trainer* trainer);
/* Steps of the whole job, and those done. */
INGOT_API int64_t ingot_trainer_total_steps(const ingot_trainer* trainer);
INGOT_API int64_t ingot_trainer_step_count(const ingot_trainer* trainer);
/* Does up to `count` more steps; `loss` (may be NULL) becomes their mean loss. With no steps left
 * it does none, and the loss is NaN. */
INGOT_API ingot_status ingot_trainer_step(ingot_trainer* trainer, int64_t count, double* loss);

/* Parameters by number, as they are after the steps done; the name is NULL beyond the last one. The
 * pointers in `tensor` live until the next call for this trainer. */
INGOT_API size_t ingot_trainer_parameter_count(const ingot_trainer* trainer);
INGOT_API const char* ingot_trainer_parameter_name(const ingot_trainer* trainer, size_t index);
INGOT_API ingot_status ingot_trainer_parameter(ingot_trainer* trainer, size_t index,
                                               ingot_tensor* tensor);

#ifdef __cplusplus
}
#endif
