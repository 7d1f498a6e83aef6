"""What config.pbtxt says of inputs, batches and answers: optional inputs, ragged batches, decoupled models."""

import concurrent.futures
import json

import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from server import ServerTest, add_model, main
from tritonclient.utils import InferenceServerException

SCALED = """
input { name: "x" data_type: TYPE_FP32 dims: -1 }
input { name: "scale" data_type: TYPE_FP32 dims: 1 optional: true }
output { name: "y" data_type: TYPE_FP32 dims: -1 }
"""
BIASED = """
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 }
input { name: "bias" data_type: TYPE_FP32 dims: 4 optional: true }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
"""
RAGGED = """
max_batch_size: 8
input { name: "values" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }
batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO target_name: "ends" data_type: TYPE_INT32
              source_input: "values" }
output { name: "sum" data_type: TYPE_FP32 dims: 1 }
output { name: "twice" data_type: TYPE_FP32 dims: -1 }
batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "twice" source_input: "values" }
dynamic_batching { preferred_batch_size: 3 max_queue_delay_microseconds: 60000000 }
instance_group { count: 1 }
"""
DECOUPLED = "max_batch_size: 8 model_transaction_policy { decoupled: true }"


def tensor(module, name, value):
    one = module.InferInput(name, list(value.shape), "FP32")
    one.set_data_from_numpy(value)
    return one


class ConfigTest(ServerTest):
    CLIENTS = True

    @classmethod
    def add_models(cls, models):
        for name, config in (("scaled", SCALED), ("biased", BIASED), ("ragged", RAGGED)):
            add_model(models, name, name, config)
        add_model(models, "once", "double", DECOUPLED)
        add_model(models, "no_default", "double", 'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 16 ] '
                  'optional: true } output { name: "y" data_type: TYPE_FP32 dims: [ -1, 16 ] }')
        add_model(models, "no_source", "ragged", RAGGED.replace('source_input: "values" }\noutput',
                                                                'source_input: "others" }\noutput'))

    def test_optional_inputs_have_the_models_default(self):
        x = np.arange(3, dtype=np.float32)
        rows = np.arange(12, dtype=np.float32).reshape(3, 4)
        for module, client in ((thttp, self.http), (tgrpc, self.grpc)):
            def call(model, **inputs):
                return client.infer(model, [tensor(module, n, v) for n, v in inputs.items()]).as_numpy("y")
            np.testing.assert_array_equal(call("scaled", x=x), 3 * x)
            np.testing.assert_array_equal(call("scaled", x=x, scale=np.float32([5])), 5 * x)
            np.testing.assert_array_equal(call("scaled", scale=np.float32([2]), x=x), 2 * x)
            np.testing.assert_array_equal(call("biased", x=rows), rows + np.float32([1, 2, 3, 4]))
            np.testing.assert_array_equal(call("biased", x=rows, bias=rows), 2 * rows)
            with self.assertRaisesRegex(InferenceServerException, "'x' is missing"):
                call("scaled", scale=np.float32([5]))
        self.assertTrue(self.http.get_model_config("scaled")["input"][1]["optional"])

    def test_requests_of_any_length_are_one_batch(self):
        values = [np.arange(n, dtype=np.float32)[None] + 1 for n in (3, 1, 5)]

        def call(value):
            return self.grpc.infer("ragged", [tensor(tgrpc, "values", value)])
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for value, answer in zip(values, pool.map(call, values)):
                np.testing.assert_array_equal(answer.as_numpy("sum"), [[value.sum()]])
                np.testing.assert_array_equal(answer.as_numpy("twice"), 2 * value)
        stats = self.http.get_inference_statistics("ragged")["model_stats"][0]
        self.assertEqual((stats["inference_count"], stats["execution_count"]), (3, 1))

    def test_decoupled_models_are_asked_by_streams(self):
        one = np.ones((1, 16), np.float32)
        for module, client in ((thttp, self.http), (tgrpc, self.grpc)):
            with self.assertRaisesRegex(InferenceServerException, "decoupled"):
                client.infer("once", [tensor(module, "x", one)])
        answers = []
        self.grpc.start_stream(lambda result, error: answers.append((result, error)))
        for _ in range(3):
            self.grpc.async_stream_infer("once", [tensor(tgrpc, "x", one)], enable_empty_final_response=True)
        self.grpc.stop_stream()  # after what was asked is answered
        self.assertEqual(len(answers), 3)
        for result, error in answers:
            self.assertIsNone(error)
            np.testing.assert_array_equal(result.as_numpy("y"), 2 * one)
            self.assertTrue(result.get_response().parameters["triton_final_response"].bool_param)
        status, _, body = self.server.get("/v2/models/once/generate", "POST", json.dumps({"x": [[1] * 16]}).encode())
        self.assertEqual(status, 200, body)

    def test_what_a_model_cannot_do_is_said_when_it_is_loaded(self):
        reasons = {entry["name"]: entry.get("reason", "") for entry in self.http.get_model_repository_index()}
        self.assertIn("input 'x' is optional, but the model has no default", reasons["no_default"])
        self.assertIn("source_input 'others' is no input", reasons["no_source"])


if __name__ == "__main__":
    main()
