"""The server as real clients see it: `ingot serve` driven by tritonclient (HTTP, gRPC, asyncio).

run.py runs it, with the packages of requirements.txt.
"""

import asyncio
import gzip
import json
import os
import shutil
import threading
import time
import uuid
import zlib

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.grpc.aio as tgrpc_aio
import tritonclient.http as thttp
import tritonclient.http.aio as thttp_aio
import tritonclient.utils.shared_memory as shm
from server import MODELS, ServerTest, add_model, main
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TYPES = {"fp32": np.float32, "fp64": np.float64, "fp16": np.float16, "int8": np.int8,
         "int16": np.int16, "int32": np.int32, "int64": np.int64, "uint8": np.uint8,
         "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64, "bool": np.bool_,
         "bytes": np.object_}


SEQUENCE = """
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: 1 }
sequence_batching {
  oldest { max_candidate_sequences: 4 }
  max_sequence_idle_microseconds: 60000000
  state { input_name: "state" output_name: "state_out" data_type: TYPE_FP32 dims: 1 }
}
"""
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: 16 }
output { name: "out" data_type: TYPE_FP32 dims: 16 }
ensemble_scheduling {
  step { model_name: "double" input_map { key: "x" value: "in" } output_map { key: "y" value: "mid" } }
  step { model_name: "double" input_map { key: "x" value: "mid" } output_map { key: "y" value: "out" } }
}
"""
BOTH = """
platform: "ensemble"
max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: 16 }
output { name: "a" data_type: TYPE_FP32 dims: 16 }
output { name: "b" data_type: TYPE_FP32 dims: 16 }
ensemble_scheduling {
  step { model_name: "double" input_map { key: "x" value: "in" } output_map { key: "y" value: "a" } }
  step { model_name: "cached" input_map { key: "x" value: "in" } output_map { key: "y" value: "b" } }
}
"""


class ServeTest(ServerTest):
    ARGUMENTS = ("--cache", "16", "--access-log", "{folder}/access.log")
    CLIENTS = True

    @classmethod
    def add_models(cls, repository):
        add_model(repository, "add_sub", "add_sub")
        add_model(repository, "double", "double", versions=(1, 2))
        add_model(repository, "accumulate", "accumulate", SEQUENCE)
        add_model(repository, "four", None, ENSEMBLE)
        add_model(repository, "both", None, BOTH)
        add_model(repository, "cached", "double", "max_batch_size: 8\nresponse_cache { enable: true }\n")
        for name in [*TYPES, "bf16"]:
            add_model(repository, f"identity_{name}", f"identity_{name}")
        config = """max_batch_size: 8 version_policy { all {} } parameters { key: "shadow" value {
                    string_value: "1:50" } }"""
        add_model(repository, "shadowed", "double", config)
        (repository / "shadowed" / "2").mkdir()
        shutil.copy(MODELS / "half.onnx", repository / "shadowed" / "2" / "model.onnx")

    def both(self):
        return [(thttp, self.http), (tgrpc, self.grpc)]

    @staticmethod
    def rows(module, seed=0, count=1):
        rng = np.random.default_rng(seed)
        a, b = (rng.standard_normal((count, 16)).astype(np.float32) for _ in range(2))
        inputs = []
        for name, value in (("INPUT0", a), ("INPUT1", b)):
            one = module.InferInput(name, list(value.shape), "FP32")
            one.set_data_from_numpy(value)
            inputs.append(one)
        return a, b, inputs

    def test_health_and_metadata(self):
        for _, client in self.both():
            self.assertTrue(client.is_server_live())
            self.assertTrue(client.is_server_ready())
            self.assertTrue(client.is_model_ready("add_sub"))
            self.assertFalse(client.is_model_ready("nothing"))
        metadata = self.http.get_server_metadata()
        self.assertEqual(metadata["name"], "ingot")
        self.assertIn("binary_tensor_data", metadata["extensions"])
        model = self.http.get_model_metadata("add_sub")
        self.assertEqual(model["inputs"][0], {"name": "INPUT0", "datatype": "FP32", "shape": [-1, 16]})
        self.assertEqual(self.grpc.get_model_metadata("double", as_json=True)["versions"], ["2"])
        config = self.http.get_model_config("add_sub")
        self.assertEqual(config["max_batch_size"], 64)
        self.assertEqual(config["input"][0]["dims"], [16])
        self.assertEqual(self.grpc.get_model_config("add_sub").config.max_batch_size, 64)

    def test_infer(self):
        for module, client in self.both():
            for count in (1, 5):
                a, b, inputs = self.rows(module, count, count)
                answer = client.infer("add_sub", inputs, request_id="17")
                np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), a + b)
                np.testing.assert_array_equal(answer.as_numpy("OUTPUT1"), a - b)
                response = answer.get_response()
                self.assertEqual(response["id"] if module is thttp else response.id, "17")

    def test_json_tensors(self):
        a, b, _ = self.rows(thttp)
        inputs = []
        for name, value in (("INPUT0", a), ("INPUT1", b)):
            inputs.append(thttp.InferInput(name, [1, 16], "FP32"))
            inputs[-1].set_data_from_numpy(value, binary_data=False)
        for binary in (False, True):
            outputs = [thttp.InferRequestedOutput("OUTPUT1", binary_data=binary)]
            answer = self.http.infer("add_sub", inputs, outputs=outputs)
            np.testing.assert_array_equal(answer.as_numpy("OUTPUT1"), a - b)
            self.assertIsNone(answer.as_numpy("OUTPUT0"))

    def test_every_type(self):
        rng = np.random.default_rng(3)
        for name, dtype in TYPES.items():
            if name == "bytes":
                value = np.array([[b"a", b"", "h\u00e9".encode()]], dtype=np.object_)
            elif name == "bool":
                value = rng.integers(0, 2, (2, 3)).astype(np.bool_)
            elif name.startswith("fp"):
                value = rng.standard_normal((2, 3)).astype(dtype)
            else:
                info = np.iinfo(dtype)
                value = np.array([[info.min, info.max, 1]], dtype=dtype)
            for module, client in self.both():
                one = module.InferInput("x", list(value.shape), np_to_triton_dtype(value.dtype))
                one.set_data_from_numpy(value)
                answer = client.infer(f"identity_{name}", [one]).as_numpy("y")
                np.testing.assert_array_equal(answer, value, err_msg=f"{name} {module.__name__}")
            if name != "fp16":
                one = thttp.InferInput("x", list(value.shape), np_to_triton_dtype(value.dtype))
                one.set_data_from_numpy(value, binary_data=False)
                out = thttp.InferRequestedOutput("y", binary_data=False)
                answer = self.http.infer(f"identity_{name}", [one], outputs=[out]).as_numpy("y")
                got = answer.astype(str) if name == "bytes" else answer
                want = np.array([[v.decode() for v in value[0]]]) if name == "bytes" else value
                np.testing.assert_array_equal(got, want, err_msg=f"{name} in JSON")
        value = np.array([[1.5, -2, 0.25]], ml_dtypes.bfloat16)
        for module, client in self.both():
            one = module.InferInput("x", [1, 3], "BF16")
            one.set_data_from_numpy(value)
            np.testing.assert_array_equal(client.infer("identity_bf16", [one]).as_numpy("y"), value)

    def test_any_byte_but_0_is_true(self):
        value = np.frombuffer(b"\0\1\2\xff", np.uint8).view(np.bool_)[None]
        for module, client in self.both():
            one = module.InferInput("x", [1, 4], "BOOL")
            one.set_data_from_numpy(value)
            answer = client.infer("identity_bool", [one]).as_numpy("y")
            self.assertEqual(answer.view(np.uint8).tolist(), [[0, 1, 1, 1]], module.__name__)

    def test_compression(self):
        a, b, inputs = self.rows(thttp, 1, 64)
        for algorithm in ("gzip", "deflate"):
            answer = self.http.infer("add_sub", inputs, request_compression_algorithm=algorithm,
                                     response_compression_algorithm=algorithm)
            np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), a + b)
            _, _, grpc_inputs = self.rows(tgrpc, 1, 64)
            answer = self.grpc.infer("add_sub", grpc_inputs, compression_algorithm=algorithm)
            np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), a + b)

    def test_async_calls(self):
        a, b, inputs = self.rows(thttp)
        client = thttp.InferenceServerClient(self.server.http, concurrency=4)
        calls = [client.async_infer("add_sub", inputs) for _ in range(16)]
        for call in calls:
            np.testing.assert_array_equal(call.get_result().as_numpy("OUTPUT0"), a + b)
        client.close()
        _, _, inputs = self.rows(tgrpc)
        done, results = threading.Semaphore(0), []

        def callback(result, error):
            results.append((result, error))
            done.release()
        for _ in range(16):
            self.grpc.async_infer("add_sub", inputs, callback)
        for _ in range(16):
            self.assertTrue(done.acquire(timeout=60))
        for result, error in results:
            self.assertIsNone(error)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), a - b)

    def test_aio(self):
        async def run():
            a, b, inputs = self.rows(thttp)
            async with thttp_aio.InferenceServerClient(self.server.http) as client:
                self.assertTrue(await client.is_server_live())
                answers = await asyncio.gather(*(client.infer("add_sub", inputs) for _ in range(8)))
                for answer in answers:
                    np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), a + b)
            _, _, inputs = self.rows(tgrpc)
            async with tgrpc_aio.InferenceServerClient(self.server.grpc) as client:
                self.assertTrue(await client.is_model_ready("add_sub"))
                answers = await asyncio.gather(*(client.infer("add_sub", inputs) for _ in range(8)))
                for answer in answers:
                    np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), a + b)

                async def requests():
                    for i in range(5):
                        yield {"model_name": "add_sub", "inputs": inputs, "request_id": str(i)}
                ids = []
                async for result, error in client.stream_infer(requests()):
                    self.assertIsNone(error)
                    ids.append(result.get_response().id)
                self.assertEqual(ids, [str(i) for i in range(5)])
        asyncio.run(run())

    def test_stream(self):
        results, done = [], threading.Semaphore(0)

        def callback(result, error):
            results.append((result, error))
            done.release()
        client = tgrpc.InferenceServerClient(self.server.grpc)
        client.start_stream(callback)
        for k in range(1, 6):
            one = tgrpc.InferInput("x", [1, 1], "FP32")
            one.set_data_from_numpy(np.array([[k]], np.float32))
            client.async_stream_infer("accumulate", [one], sequence_id=77, sequence_start=k == 1,
                                      sequence_end=k == 5, request_id=str(k))
        one = tgrpc.InferInput("wrong", [1, 1], "FP32")
        one.set_data_from_numpy(np.array([[1]], np.float32))
        client.async_stream_infer("accumulate", [one], sequence_id=78, sequence_start=True)
        for _ in range(6):
            self.assertTrue(done.acquire(timeout=60))
        client.stop_stream()
        client.close()
        sums = [float(r.as_numpy("y")[0, 0]) for r, e in results[:5]]
        self.assertEqual(sums, [1, 3, 6, 10, 15])
        self.assertIn("unexpected inference input 'wrong'", str(results[5][1]))

    def test_sequences(self):
        for module, client in self.both():
            sums = {}
            for k in range(1, 4):
                for sequence in (101, 102, "abc"):
                    one = module.InferInput("x", [1, 1], "FP32")
                    scale = 10 if sequence == 102 else 1
                    one.set_data_from_numpy(np.array([[k * scale]], np.float32))
                    answer = client.infer("accumulate", [one], sequence_id=sequence,
                                          sequence_start=k == 1, sequence_end=k == 3)
                    sums[sequence] = float(answer.as_numpy("y")[0, 0])
            self.assertEqual(sums, {101: 6, 102: 60, "abc": 6})
            with self.assertRaisesRegex(InferenceServerException, "START"):
                client.infer("accumulate", [one], sequence_id=999)
            with self.assertRaisesRegex(InferenceServerException, "correlation ID"):
                client.infer("accumulate", [one])

    def test_ensemble(self):
        value = np.arange(32, dtype=np.float32).reshape(2, 16)
        for module, client in self.both():
            one = module.InferInput("in", [2, 16], "FP32")
            one.set_data_from_numpy(value)
            np.testing.assert_array_equal(client.infer("four", [one]).as_numpy("out"), 4 * value)

    def test_ensemble_of_steps_side_by_side(self):
        one = tgrpc.InferInput("in", [1, 16], "FP32")
        one.set_data_from_numpy(np.ones((1, 16), np.float32))
        bad = []

        def ask():
            client = tgrpc.InferenceServerClient(self.server.grpc)
            for _ in range(200):
                answer = client.infer("both", [one])
                bad.extend(name for name in ("a", "b") if not (answer.as_numpy(name) == 2).all())
            client.close()

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(bad, [])
        self.assertTrue(self.grpc.is_server_live())

    def test_classification(self):
        value = np.arange(16, dtype=np.float32)[None]
        for module, client in self.both():
            one = module.InferInput("x", [1, 16], "FP32")
            one.set_data_from_numpy(value)
            out = module.InferRequestedOutput("y", class_count=2)
            got = client.infer("double", [one], outputs=[out]).as_numpy("y")
            self.assertEqual([v.decode() for v in got[0]], ["30.000000:15", "28.000000:14"])
            # What is no number comes last, however often; the longest number leaves its class whole.
            for numbers in ([np.nan, 1, np.nan, 3, 3, np.nan, -2e38], [np.nan] * 64, [np.nan, 0] * 32):
                numbers = np.array([numbers], np.float32)
                one = module.InferInput("x", list(numbers.shape), "FP32")
                one.set_data_from_numpy(numbers)
                out = module.InferRequestedOutput("y", class_count=numbers.size)
                got = client.infer("identity_fp32", [one], outputs=[out]).as_numpy("y")[0]
                order = sorted(range(numbers.size), key=lambda i: (bool(np.isnan(numbers[0, i])),
                                                                   -np.nan_to_num(numbers[0, i]), i))
                self.assertEqual([v.decode() for v in got], [f"{numbers[0, i]:f}:{i}" for i in order])

    def test_cache(self):
        value = np.full((1, 16), 5, np.float32)
        for _ in range(2):
            for module, client in self.both():
                one = module.InferInput("x", [1, 16], "FP32")
                one.set_data_from_numpy(value)
                np.testing.assert_array_equal(client.infer("cached", [one]).as_numpy("y"), 2 * value)
        stats = self.http.get_inference_statistics("cached")["model_stats"][0]["inference_stats"]
        self.assertGreaterEqual(stats["cache_hit"]["count"], 3)

    def test_shadow(self):
        # What comes after it on the same connection is not what a copy computes.
        for value in [*range(1, 21), 1000]:
            one = thttp.InferInput("x", [1, 16], "FP32")
            one.set_data_from_numpy(np.full((1, 16), value, np.float32))
            np.testing.assert_array_equal(self.http.infer("shadowed", [one]).as_numpy("y"), value / 2)
        for _ in range(100):
            report = json.loads(self.server.get("/v2/models/shadowed/shadow")[2])
            if report["requests"] == 10:
                break
            time.sleep(0.05)
        self.assertEqual((report["requests"], report["different"], report["max_difference"]), (10, 10, 30))
        self.assertEqual(self.server.get("/v2/models/double/shadow")[0], 404)

    def test_errors(self):
        _, _, inputs = self.rows(thttp)
        cases = [("/v2/models/nothing", "GET", None, 404), ("/v2/models/nothing/infer", "POST", b'{"inputs":[]}', 404),
                 ("/v2/nothing", "GET", None, 404), ("/v2/models/add_sub/infer", "GET", None, 405),
                 ("/v2/models/add_sub/versions/9/infer", "POST", b'{"inputs":[]}', 404),
                 ("/v2/models/add_sub/infer", "POST", b"{", 400), ("/v2/models/add_sub/infer", "POST", b"{}", 400),
                 ("/v2/models/add_sub/infer", "POST", b'{"inputs":[{"name":"INPUT0"}]}', 400),
                 ("/v2/models/add_sub/infer", "POST",
                  b'{"inputs":[{"name":"INPUT0","datatype":"FP99","shape":[1],"data":[1]}]}', 400),
                 ("/v2/models/add_sub/infer", "POST",
                  b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,-2],"data":[1]}]}', 400),
                 ("/v2/models/identity_fp16/infer", "POST",
                  b'{"inputs":[{"name":"x","datatype":"FP16","shape":[1,1],"data":[1]}]}', 400),
                 ("/v2/repository/models/nothing/load", "POST", b"", 404),
                 ("/v2/logging", "POST", b'{"log_nothing":1}', 400),
                 *(("/v2/logging", "POST", b'{"log_verbose_level":%s}' % level, 400)
                   for level in (b"4294967296", b"18446744073709551615", b"1e99", b"-1", b"0.5", b'"1"')),
                 ("/v2/trace/setting", "POST", b'{"trace_level":"LOUD"}', 400)]
        for path, method, body, status in cases:
            got, headers, answer = self.server.get(path, method, body)
            self.assertEqual(got, status, f"{path} {body}: {answer}")
            self.assertTrue(json.loads(answer)["error"], path)
        with self.assertRaises(InferenceServerException) as caught:
            self.grpc.infer("nothing", self.rows(tgrpc)[2])
        self.assertIn("NOT_FOUND", caught.exception.status())
        with self.assertRaises(InferenceServerException) as caught:
            self.grpc.infer("add_sub", self.rows(tgrpc, 0, 65)[2])
        self.assertIn("INVALID_ARGUMENT", caught.exception.status())
        self.assertIn("batch-size must be <= 64", caught.exception.message())

    def test_raw_http(self):
        head = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,16],"parameters":{"binary_data_size":64}}]}'
        body = head + np.ones(16, np.float32).tobytes()
        fields = {"Inference-Header-Content-Length": str(len(head))}
        status, _, answer = self.server.get("/v2/models/double/infer", "POST", body, fields)
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(answer)["outputs"][0]["data"], [2] * 16)
        status, headers, answer = self.server.get(
            "/v2/models/double/infer", "POST", gzip.compress(body),
            {**fields, "Content-Encoding": "gzip", "Accept-Encoding": "deflate"})
        self.assertEqual((status, headers["Content-Encoding"]), (200, "deflate"))
        self.assertEqual(json.loads(zlib.decompress(answer))["model_name"], "double")
        for length in ("x", "-1", "100000"):
            status, _, _ = self.server.get("/v2/models/double/infer", "POST", body,
                                           {"Inference-Header-Content-Length": length})
            self.assertEqual(status, 400)
        status, _, answer = self.server.get("/v2/models/double/infer", "POST", body + b"x", fields)
        self.assertEqual(status, 400)

    def test_generate(self):
        body = json.dumps({"x": list(range(16)), "id": "3", "temperature": 0.5}).encode()
        status, _, answer = self.server.get("/v2/models/double/generate", "POST", body)
        self.assertEqual(status, 200, answer)
        self.assertEqual(json.loads(answer)["y"], [2 * v for v in range(16)])
        status, headers, answer = self.server.get("/v2/models/double/generate_stream", "POST", body)
        self.assertTrue(headers["Content-Type"].startswith("text/event-stream"))
        self.assertTrue(answer.startswith(b"data: {") and answer.endswith(b"}\n\n"))

    def test_repository(self):
        for module, client in self.both():
            name = f"late_{module.__name__.split('.')[-1]}"
            add_model(self.repository, name, "double")
            index = client.get_model_repository_index()
            listed = [m["name"] for m in index] if module is thttp else [m.name for m in index.models]
            self.assertIn(name, listed)
            self.assertFalse(client.is_model_ready(name))
            client.load_model(name)
            self.assertTrue(client.is_model_ready(name))
            client.unload_model(name)
            self.assertFalse(client.is_model_ready(name))
            model = (MODELS / "double.onnx").read_bytes()
            config = json.dumps({"max_batch_size": 3})
            client.load_model(name, config=config, files={"file:1/model.onnx": model})
            one = module.InferInput("x", [3, 16], "FP32")
            one.set_data_from_numpy(np.ones((3, 16), np.float32))
            np.testing.assert_array_equal(client.infer(name, [one]).as_numpy("y"), 2)
            with self.assertRaises(InferenceServerException):
                client.load_model(name, config=json.dumps({"max_batch_size": 3}),
                                  files={"file:1/model.onnx": b"no model"})
            self.assertTrue(client.is_model_ready(name))
            client.unload_model(name)
            shutil.rmtree(self.repository / name)

    def test_reload_without_a_failed_request(self):
        add_model(self.repository, "moving", "double")
        self.http.load_model("moving")
        failures, stop, counts = [], threading.Event(), []

        def call(module, address):
            client = module.InferenceServerClient(address)
            one = module.InferInput("x", [1, 16], "FP32")
            one.set_data_from_numpy(np.ones((1, 16), np.float32))
            count = 0
            while not stop.is_set():
                try:
                    np.testing.assert_array_equal(client.infer("moving", [one]).as_numpy("y"), 2)
                    count += 1
                except Exception as error:
                    failures.append(error)
                    return
            counts.append(count)
            client.close()
        threads = [threading.Thread(target=call, args=a)
                   for a in ((thttp, self.server.http), (tgrpc, self.server.grpc))]
        for thread in threads:
            thread.start()
        control = thttp.InferenceServerClient(self.server.http, network_timeout=60)
        for _ in range(10):
            control.load_model("moving")
        stop.set()
        for thread in threads:
            thread.join()
        control.close()
        self.assertEqual(failures, [])
        self.assertGreater(min(counts), 0)

    def test_statistics(self):
        self.test_infer()
        for module, client in self.both():
            stats = client.get_inference_statistics("add_sub")
            if module is tgrpc:
                self.assertGreater(stats.model_stats[0].inference_stats.success.count, 0)
                self.assertGreater(stats.model_stats[0].inference_count, stats.model_stats[0].execution_count - 1)
            else:
                one = stats["model_stats"][0]
                self.assertGreater(one["inference_stats"]["success"]["count"], 0)
                self.assertTrue(any(b["batch_size"] == 5 for b in one["batch_stats"]))

    def test_settings(self):
        for _, client in self.both():
            client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"], "trace_rate": "5"})
            client.update_trace_settings(model_name="double", settings={"trace_rate": "7"})
            client.get_trace_settings(model_name="double")
            client.update_trace_settings(settings={"trace_level": None, "trace_rate": None})
            client.update_trace_settings(model_name="double", settings={"trace_rate": None})
            client.update_log_settings({"log_verbose_level": 1, "log_info": True})
            client.get_log_settings()
        self.assertEqual(self.http.get_trace_settings()["trace_level"], ["OFF"])
        self.assertEqual(self.http.get_log_settings()["log_verbose_level"], 1)

    def test_shared_memory(self):
        value = np.arange(16, dtype=np.float32)[None]
        for module, client in self.both():
            tag = uuid.uuid4().hex
            region = shm.create_shared_memory_region(f"r{tag}", f"/ingot{tag}", 128)
            try:
                shm.set_shared_memory_region(region, [value])
                client.register_system_shared_memory(f"r{tag}", f"/ingot{tag}", 128)
                status = client.get_system_shared_memory_status()
                names = [r["name"] for r in status] if module is thttp else list(status.regions)
                self.assertEqual(names, [f"r{tag}"])
                one = module.InferInput("x", [1, 16], "FP32")
                one.set_shared_memory(f"r{tag}", 64)
                out = module.InferRequestedOutput("y")
                out.set_shared_memory(f"r{tag}", 64, offset=64)
                client.infer("double", [one], outputs=[out])
                got = shm.get_contents_as_numpy(region, np.float32, [1, 16], offset=64)
                np.testing.assert_array_equal(got, 2 * value)
                one.set_shared_memory(f"r{tag}", 64, offset=100)
                with self.assertRaisesRegex(InferenceServerException, "beyond"):
                    client.infer("double", [one], outputs=[out])
                one = module.InferInput("x", [1, 16], "FP32")
                one.set_shared_memory(f"r{tag}", 64)
                os.truncate(f"/dev/shm/ingot{tag}", 32)
                with self.assertRaisesRegex(InferenceServerException, "has become shorter"):
                    client.infer("double", [one], outputs=[out])
                self.assertTrue(client.is_server_live())
                os.truncate(f"/dev/shm/ingot{tag}", 128)
                client.unregister_system_shared_memory(f"r{tag}")
                self.assertFalse(client.get_cuda_shared_memory_status() == "x")
            finally:
                shm.destroy_shared_memory_region(region)

    def test_grpc_health_and_reflection(self):
        channel = grpc.insecure_channel(self.server.grpc)
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        self.assertEqual(check(b""), b"\x08\x01")
        with self.assertRaises(grpc.RpcError) as caught:
            check(b"\x0a\x04what")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        self.assertEqual(next(watch), b"\x08\x01")
        watch.cancel()
        # A second message that is too long ends the stream, and not the server.
        stream = channel.stream_stream("/grpc.health.v1.Health/Watch")(iter([b"", bytes(5000)]))
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(check(b""), b"\x08\x01")
        reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        answer = next(reflect(iter([b"\x3a\x00"])))
        self.assertIn(b"inference.GRPCInferenceService", answer)
        symbol = b"inference.GRPCInferenceService"
        answer = next(reflect(iter([b"\x22" + bytes([len(symbol)]) + symbol])))
        self.assertIn(b"ModelStreamInfer", answer)
        with self.assertRaises(grpc.RpcError) as caught:
            channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b"")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        channel.close()

    def test_metrics_and_page(self):
        self.test_infer()
        status, headers, text = self.server.get("/metrics", address=self.server.metrics)
        self.assertEqual(status, 200)
        self.assertIn(b'nv_inference_request_success{model="add_sub",version="1"}', text)
        self.assertIn(b'ingot_request_duration_seconds_bucket{model="add_sub",version="1",le="+Inf"}', text)
        status, headers, page = self.server.get("/")
        self.assertEqual(status, 200)
        self.assertIn(b"/app.js", page)
        self.assertEqual(self.server.get("/app.js")[0], 200)
        self.assertEqual(self.server.get("/", address=self.server.metrics)[0], 404)

    def test_access_log(self):
        self.server.get("/v2/models/nothing")

        # The line is written after the answer has gone out.
        def logged():
            lines = [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]
            return any(l["path"] == "/v2/models/nothing" and l["status"] == 404 for l in lines)

        until = time.monotonic() + 10
        while not logged() and time.monotonic() < until:
            time.sleep(0.02)
        self.assertTrue(logged())


if __name__ == "__main__":
    main()
