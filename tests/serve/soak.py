"""Keeps a server busy for a while and checks that nothing goes wrong or piles up.

usage: soak.py [SECONDS]. Clients over HTTP, gRPC and streams compare every answer; others send
nonsense, hang up in the middle, cancel; models are loaded again, unloaded, and fail to load. At the end
memory and open files must be where they were after the first tenth of the time.
"""

import json
import os
import pathlib
import random
import socket
import sys
import tempfile
import threading
import time

import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp

from server import MODELS, Server, add_model

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60


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

    def infer(self, module, client, rng, model):
        rows = rng.randint(1, 9)
        value = np.frombuffer(rng.randbytes(rows * 16), np.uint8).astype(np.float32).reshape(rows, 16)
        one = module.InferInput("x", [rows, 16], "FP32")
        one.set_data_from_numpy(value)
        answer = client.infer(model, [one]).as_numpy("y")
        if not np.array_equal(answer, 2 * value):
            raise AssertionError("a wrong answer")

    def http(self, rng):
        client = thttp.InferenceServerClient(self.server.http, network_timeout=60)
        for _ in range(rng.randint(1, 50)):
            self.infer(thttp, client, rng, rng.choice(["steady", "moving"]))
        client.close()

    def grpc(self, rng):
        client = tgrpc.InferenceServerClient(self.server.grpc)
        for _ in range(rng.randint(1, 50)):
            self.infer(tgrpc, client, rng, rng.choice(["steady", "moving"]))
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

    def control(self, rng):
        client = thttp.InferenceServerClient(self.server.http, network_timeout=60)
        action = rng.randrange(4)
        if action == 0:
            client.load_model("moving")
        elif action == 1:
            try:
                client.load_model("broken")
                raise AssertionError("a broken model loads")
            except thttp.InferenceServerException:
                pass
        elif action == 2:
            client.load_model("coming")
            client.unload_model("coming")
        else:
            client.get_inference_statistics()
            client.get_model_repository_index()
            self.server.get("/metrics", address=self.server.metrics)
        client.close()
        time.sleep(0.05)


def state_of(pid):
    resident = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def main():
    with tempfile.TemporaryDirectory() as folder:
        models = pathlib.Path(folder)
        for name in ("steady", "moving", "coming"):
            add_model(models, name, "double")
        (models / "broken" / "1").mkdir(parents=True)
        (models / "broken" / "1" / "model.onnx").write_bytes((MODELS / "double.onnx").read_bytes()[:60])
        server = Server("--repository", folder)
        soak = Soak(server)
        threads = [threading.Thread(target=soak.run, args=(function, seed)) for seed, function in
                   enumerate([soak.http, soak.grpc, soak.http, soak.stream, soak.nonsense, soak.control])]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 10)
        early = state_of(server.process.pid)
        for thread in threads:
            thread.join()
        for _ in range(100):  # connections that were cut off go one by one
            late = state_of(server.process.pid) if server.process.poll() is None else (0, 0, 0)
            if late[1] <= early[1]:
                break
            time.sleep(0.1)
        code = server.stop()
        print(f"{soak.counts}; resident {early[0] >> 10} KiB, then {late[0] >> 10} KiB; "
              f"files {early[1]}, then {late[1]}; threads {early[2]}, then {late[2]}")
        if code != 0:
            soak.faults.append(f"the server ended with {code}: {''.join(server.log[-5:])}")
        if late[0] > early[0] + (16 << 20):
            soak.faults.append("memory grew")
        if late[1] > early[1]:
            soak.faults.append("files stayed open")
        for fault in soak.faults:
            print(f"fault: {fault}")
        return 1 if soak.faults else 0


sys.exit(main())
