"""Load from programs that cost little themselves: wrk for HTTP/1.1, h2load for gRPC."""

import dataclasses
import json
import pathlib
import re
import subprocess

import numpy as np


@dataclasses.dataclass
class Load:
    rate: float    # requests a second
    p50: float     # seconds
    p99: float
    failed: int


@dataclasses.dataclass
class Body:
    path: str
    headers: dict
    bytes: bytes


def binary_body(model, name, shape, seed=1):
    """A request of one FP32 input with the binary extension, and an answer in binary."""
    data = np.random.default_rng(seed).random(shape, np.float32).tobytes()
    head = json.dumps({"inputs": [{"name": name, "shape": list(shape), "datatype": "FP32",
                                   "parameters": {"binary_data_size": len(data)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    return Body(f"/v2/models/{model}/infer",
                {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))},
                head + data)


def json_body(model, name, shape, seed=1):
    data = np.random.default_rng(seed).random(shape, np.float32)
    return Body(f"/v2/models/{model}/infer", {"Content-Type": "application/json"},
                json.dumps({"inputs": [{"name": name, "shape": list(shape), "datatype": "FP32",
                                        "data": [round(float(v), 6) for v in data.ravel()]}]}).encode())


def seconds_of(text):
    """"1.25ms" and the like."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def wrk(address, body, connections, seconds, folder):
    """Closed loop: each connection sends its next request when the answer is there."""
    payload = folder / "body.bin"
    payload.write_bytes(body.bytes)
    lines = [f'wrk.method = "POST"', f'wrk.path = "{body.path}"',
             f'local f = io.open("{payload}", "rb"); wrk.body = f:read("*a"); f:close()']
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in body.headers.items()]
    lines.append('done = function(s, l, r) io.write(string.format("RESULT %d %f %d %d %d\\n", s.requests, '
                 's.duration / 1e6, l:percentile(50), l:percentile(99), s.errors.status + s.errors.connect + '
                 's.errors.read + s.errors.write + s.errors.timeout)) end')
    script = folder / "load.lua"
    script.write_text("\n".join(lines) + "\n")
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s",
                           str(script), f"http://{address}"], capture_output=True, text=True, check=True,
                          timeout=seconds + 120)
    requests, duration, p50, p99, failed = re.search(r"RESULT (\S+) (\S+) (\S+) (\S+) (\S+)", done.stdout).groups()
    return Load(float(requests) / float(duration), float(p50) / 1e6, float(p99) / 1e6, int(failed))


def h2load(address, path, message, connections, seconds, folder, messages=1):
    """gRPC: calls of `messages` messages each. `rate` counts messages; latencies are those of calls.
    What gRPC refuses in its trailers h2load takes for answered."""
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    payload = pathlib.Path(folder) / "message.bin"
    payload.write_bytes(framed * messages)
    log = pathlib.Path(folder) / "h2load.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["h2load", "-t1", f"-c{connections}", "-m1", "-D", str(max(1, round(seconds))), "--warm-up-time", "1", "-d",
         str(payload), f"--log-file={log}", "-H", "content-type: application/grpc", "-H", "te: trailers",
         f"http://{address}{path}"], capture_output=True, text=True, check=True, timeout=seconds + 120)
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout).group(1))
    failed = int(re.search(r"(\d+) failed", done.stdout).group(1))
    times = np.array([int(line.split("\t")[2]) for line in log.read_text().splitlines()] or [0]) / 1e6
    return Load(rate * messages, float(np.percentile(times, 50)), float(np.percentile(times, 99)), failed)
