"""Keeps a server busy for a while and checks that nothing goes wrong or piles up.

usage: soak.py [SECONDS]. Clients over HTTP, gRPC and streams send random valid requests to models of several kinds
and compare every answer; others send nonsense on both ports, cancel, hang up in the middle, or are killed; models
are loaded again with other configurations and files, unloaded, and fail to load. At the end memory must be where it
was after the first tenth of the time, the heap's use where it was in the first half, and open files where they were
before the first client.
"""

import json
import os
import pathlib
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from tritonclient.utils import InferenceServerException

from server import BUILD, MODELS, Server, add_model
from serve_test import ENSEMBLE, SEQUENCE
from slow_clients import SlowClients

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60
TYPES = {"fp32": np.float32, "fp64": np.float64, "fp16": np.float16, "int8": np.int8, "int32": np.int32,
         "int64": np.int64, "uint8": np.uint8, "uint16": np.uint16, "bool": np.bool_}


class Soak:
    def __init__(self, server):
        self.server = server
        self.end = time.monotonic() + SECONDS
        self.faults, self.counts, self.lock = [], {}, threading.Lock()

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def run(self, function, seed):
        rng = random.Random(seed)
        while time.monotonic() < self.end and not self.faults:
            try:
                function(rng)
                self.count(function.__name__)
            except Exception as error:  # a fault of the server, or of this script: both end the soak
                with self.lock:
                    self.faults.append(f"{function.__name__}: {type(error).__name__}: {error}")

    def infer(self, module, client, rng):
        """A random valid request; its answer is compared."""
        kind = rng.choice(["double", "double", "double", "type", "add_sub", "ensemble", "sequence"])
        rows = rng.randint(1, 9)

        def tensor(name, value, wire="FP32"):
            one = module.InferInput(name, list(value.shape), wire)
            if module is thttp and value.dtype != np.float16 and rng.random() < 0.3:
                one.set_data_from_numpy(value, binary_data=False)
            else:
                one.set_data_from_numpy(value)
            return one

        def numbers(*shape):
            return np.frombuffer(rng.randbytes(int(np.prod(shape))), np.uint8).astype(np.float32).reshape(shape)
        options = {}
        if rng.random() < 0.1:
            compression = rng.choice(["gzip", "deflate"])
            options = ({"request_compression_algorithm": compression, "response_compression_algorithm": compression}
                       if module is thttp else {"compression_algorithm": compression})

        def call(model, inputs, output, **more):
            return client.infer(model, inputs, **options, **more).as_numpy(output)
        if kind == "double":
            value = numbers(rows, 16)
            got, wanted = call(rng.choice(["steady", "moving", "cached"]), [tensor("x", value)], "y"), 2 * value
        elif kind == "type":
            name, dtype = rng.choice(list(TYPES.items()))
            wire = {"bool": "BOOL"}.get(name, name.upper())
            wanted = numbers(rows, rng.randint(1, 300)).astype(dtype)
            got = call(f"identity_{name}", [tensor("x", wanted, wire)], "y")
        elif kind == "add_sub":
            a, b = numbers(rows, 16), numbers(rows, 16)
            got, wanted = call("add_sub", [tensor("INPUT0", a), tensor("INPUT1", b)], "OUTPUT1"), a - b
        elif kind == "ensemble":
            value = numbers(rows, 16)
            got, wanted = call("four", [tensor("in", value)], "out"), 4 * value
        else:
            number, total, got, wanted = rng.randrange(1, 1 << 40), np.zeros((1, 1), np.float32), [], []
            steps = rng.randint(1, 5)
            for step in range(steps):
                value = numbers(1, 1)
                total = total + value
                wanted.append(total)
                got.append(call("accumulate", [tensor("x", value)], "y", sequence_id=number,
                                sequence_start=step == 0, sequence_end=step == steps - 1))
        if not np.array_equal(got, wanted):
            raise AssertionError(f"a wrong answer of {kind}")
        self.count("answers compared")

    def http(self, rng):
        client = thttp.InferenceServerClient(self.server.http, network_timeout=60)
        for _ in range(rng.randint(1, 50)):
            self.infer(thttp, client, rng)
        client.close()

    def grpc(self, rng):
        client = tgrpc.InferenceServerClient(self.server.grpc)
        for _ in range(rng.randint(1, 50)):
            self.infer(tgrpc, client, rng)
        client.close()

    def stream(self, rng):
        client, done, answers = tgrpc.InferenceServerClient(self.server.grpc), threading.Semaphore(0), []

        def callback(result, error):
            answers.append((result, error))
            done.release()
        client.start_stream(callback)
        value = np.full((1, 16), rng.randint(0, 99), np.float32)
        one = tgrpc.InferInput("x", [1, 16], "FP32")
        one.set_data_from_numpy(value)
        n = rng.randint(1, 20)
        for _ in range(n):
            client.async_stream_infer("steady", [one])
        if rng.random() < 0.7:
            for _ in range(n):
                if not done.acquire(timeout=60):
                    raise AssertionError("a stream stands still")
            for result, error in answers[:n]:
                if error is not None or not np.array_equal(result.as_numpy("y"), 2 * value):
                    raise AssertionError(f"a wrong answer in a stream: {error}")
                self.count("answers compared")
        client.stop_stream(cancel_requests=rng.random() < 0.5)
        client.close()

    def nonsense(self, rng):
        body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16],
                                       "data": [1] * 16}]}).encode()
        head = f"POST /v2/models/steady/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        data = bytearray(head + body)
        for _ in range(rng.randint(0, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            data = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(100))
        host, port = rng.choice([self.server.http, self.server.grpc]).rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.settimeout(0.2)
            try:
                connection.sendall(bytes(data[:rng.randint(1, len(data))]))
                connection.recv(4096)
            except OSError:
                pass

    def nonsense_grpc(self, rng):
        """Damaged messages, and requests for what there is not."""
        request = (b"\x0a\x06steady\x2a\x13\x0a\x01x\x12\x04FP32\x1a\x02\x01\x10\x2a\x00" + b"\x3a\x40" + bytes(64))
        data = bytearray(request)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        methods = ["ModelInfer", "ModelInfer", "ModelMetadata", "ModelConfig", "RepositoryIndex", "NoSuchMethod"]
        with grpc.insecure_channel(self.server.grpc) as channel:
            for _ in range(rng.randint(1, 10)):
                try:
                    channel.unary_unary(f"/inference.GRPCInferenceService/{rng.choice(methods)}")(
                        bytes(data[:rng.randint(0, len(data))]), timeout=60)
                except grpc.RpcError as error:
                    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        raise

    def cancels(self, rng):
        """Requests that are given up before their answers come."""
        client, done = tgrpc.InferenceServerClient(self.server.grpc), threading.Semaphore(0)
        value = np.full((8, 16), rng.randint(0, 99), np.float32)
        one = tgrpc.InferInput("x", [8, 16], "FP32")
        one.set_data_from_numpy(value)
        wrong = []

        def callback(result, error):
            if error is None and not np.array_equal(result.as_numpy("y"), 2 * value):
                wrong.append(result)
            done.release()
        calls = [client.async_infer("delayed", [one], callback) for _ in range(20)]
        for call in calls:
            if rng.random() < 0.7:
                call.cancel()
        for _ in calls:
            if not done.acquire(timeout=60):
                raise AssertionError("a cancelled request has no end")
        if wrong:
            raise AssertionError("a wrong answer beside cancelled requests")
        client.close()

    def kills(self, rng):
        """A client that is killed in the middle of its work, and connections that are reset."""
        process = subprocess.Popen([str(BUILD / "ingot"), "client", "perf", "steady", "--url", self.server.http,
                                    "--concurrency", "4", "--seconds", "30"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(rng.random())
        process.kill()
        process.wait()
        slow = SlowClients(self.server.http, "identity_fp32", 12, n=rng.choice([100, 65536]))
        time.sleep(rng.random())
        for connection in list(slow.sockets):  # its thread takes some out and puts others in
            if rng.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        slow.close()

    def control(self, rng):
        client = thttp.InferenceServerClient(self.server.http, network_timeout=60)
        action = rng.randrange(6)
        if action == 0:
            client.load_model("moving")
        elif action == 1:
            client.load_model("moving", config=json.dumps({"max_batch_size": rng.choice([16, 32]),
                                                           "dynamic_batching": {}}))
        elif action == 2:
            name = rng.choice(["broken", "wrong", "nothing"])
            try:
                client.load_model(name)
            except InferenceServerException:
                pass
            else:
                raise AssertionError(f"the model '{name}' loads")
        elif action == 3:
            client.load_model("coming", config="{}", files={"file:3/model.onnx": (MODELS / "half.onnx").read_bytes()})
            client.unload_model("coming")
        elif action == 4:
            # A file that is no model: what serves stays.
            try:
                client.load_model("moving", config="{}", files={"file:1/model.onnx": rng.randbytes(300)})
            except InferenceServerException:
                pass
            else:
                raise AssertionError("nonsense loads as a model")
        else:
            client.get_inference_statistics()
            client.get_model_repository_index()
            self.server.get("/metrics", address=self.server.metrics)
        client.close()
        time.sleep(0.05)


def state_of(pid):
    resident = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def heap_used(server):
    text = server.get("/metrics", address=server.metrics)[2].decode()
    return int(float(re.search(r"^ingot_heap_used_bytes (\S+)$", text, re.MULTILINE).group(1)))


def fill(models):
    for name in ("steady", "moving", "coming"):
        add_model(models, name, "double")
    add_model(models, "double", "double")
    add_model(models, "cached", "double", "max_batch_size: 16\nresponse_cache { enable: true }\n")
    add_model(models, "delayed", "double", "max_batch_size: 16\n"
              "dynamic_batching { max_queue_delay_microseconds: 5000 preferred_batch_size: 16 }\n")
    add_model(models, "four", None, ENSEMBLE.replace("max_batch_size: 8", "max_batch_size: 16"))
    add_model(models, "accumulate", "accumulate", SEQUENCE)
    add_model(models, "add_sub", "add_sub")
    for name in TYPES:
        add_model(models, f"identity_{name}", f"identity_{name}")
    add_model(models, "wrong", "double", "max_batch_size: 4 input { name: \"z\" data_type: TYPE_FP32 dims: 16 }\n")
    (models / "broken" / "1").mkdir(parents=True)
    (models / "broken" / "1" / "model.onnx").write_bytes((MODELS / "double.onnx").read_bytes()[:60])


def main():
    with tempfile.TemporaryDirectory() as folder:
        fill(pathlib.Path(folder))
        server = Server("--repository", folder, "--cache", "4")
        before = state_of(server.process.pid)
        soak = Soak(server)
        work = [soak.http, soak.grpc, soak.http, soak.stream, soak.nonsense, soak.nonsense_grpc, soak.cancels,
                soak.kills, soak.control]
        threads = [threading.Thread(target=soak.run, args=(function, seed)) for seed, function in enumerate(work)]
        for thread in threads:
            thread.start()
        residents, used = [], []  # KiB, ten times in all; of the process, and of its heap in use
        while any(thread.is_alive() for thread in threads):
            time.sleep(SECONDS / 10)
            if server.process.poll() is None:
                residents.append(state_of(server.process.pid)[0] >> 10)
                used.append(heap_used(server) >> 10)
        for thread in threads:
            thread.join()
        for _ in range(300):  # connections that were cut off go one by one
            late = state_of(server.process.pid) if server.process.poll() is None else (0, 0, 0)
            if late[1] <= before[1]:
                break
            time.sleep(0.1)
        if server.process.poll() is None:
            used.append(heap_used(server) >> 10)
        code = server.stop()
        print(f"{soak.counts}; resident KiB {residents}, then {late[0] >> 10}; heap in use KiB {used}; files {before[1]} before, {late[1]} "
              f"after; threads {before[2]}, then {late[2]}")
        if code != 0:
            soak.faults.append(f"the server ended with {code}: {''.join(server.log[-5:])}")
        # As much as there was under load once all kinds of work had been done, and room for the heap's holes.
        if residents and late[0] >> 10 > residents[0] + (16 << 10):
            soak.faults.append("memory grew")
        # Plans for shapes that had not come yet are made in the first half of the time, too.
        if used and used[-1] > max(used[:len(used) // 2 + 1]) + (4 << 10):
            soak.faults.append("the heap's use grew")
        if late[1] > before[1]:
            soak.faults.append("files stayed open")
        for fault in soak.faults:
            print(f"fault: {fault}")
        return 1 if soak.faults else 0


sys.exit(main())
