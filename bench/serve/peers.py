"""Ingot's server beside Triton and MLServer, under the same load from the same programs.

usage: peers.py BUILD [--model mlp|cnn|resnet18] [--seconds S] [--rounds R] [--only http,json,grpc,stream]
                [--connections 1,16,64] [--without triton,mlserver] [--json FILE]

The servers run one at a time and take turns, round by round; each row is the median of the rounds. wrk sends HTTP
requests (binary, or JSON), h2load gRPC calls (unary, or a stream of 16 requests a call). Before anything is measured
the answers of all servers are compared.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from tritonclient.grpc import service_pb2

import load
import servers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STREAM_MESSAGES = 16


@dataclasses.dataclass
class Model:
    name: str
    onnx: pathlib.Path
    input: str
    shape: list
    output: str
    output_shape: list
    threads: int

    def words(self):
        return {"onnx": self.onnx, "input": self.input, "output": self.output, "threads": self.threads,
                "dims": ", ".join(map(str, self.shape)), "output_dims": ", ".join(map(str, self.output_shape))}


def make_model(name, folder, cpus):
    subprocess.run([sys.executable, str(ROOT / "bench" / "inference" / "make_models.py"), str(folder), name], check=True)
    file = folder / f"{name}.onnx"
    graph = onnx.load(file, load_external_data=False).graph

    def dims(value):
        return [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
    return Model(name, file, graph.input[0].name, dims(graph.input[0]), graph.output[0].name, dims(graph.output[0]),
                 1 if name == "mlp" else cpus)


def grpc_message(model, value):
    request = service_pb2.ModelInferRequest(model_name=model.name)
    one = request.inputs.add(name=model.input, datatype="FP32", shape=value.shape)
    assert one.name
    request.raw_input_contents.append(value.tobytes())
    return request.SerializeToString()


def answers(server, model, value):
    """What it answers over HTTP in JSON, in binary (None: it does not), and over gRPC."""
    result = []
    for binary in (False, True):
        with thttp.InferenceServerClient(server.http, network_timeout=60) as client:
            one = thttp.InferInput(model.input, value.shape, "FP32")
            one.set_data_from_numpy(value, binary_data=binary)
            out = thttp.InferRequestedOutput(model.output, binary_data=binary)
            try:
                result.append(client.infer(model.name, [one], outputs=[out]).as_numpy(model.output))
            except Exception:  # of any kind: it does not speak the extension
                result.append(None)
    with tgrpc.InferenceServerClient(server.grpc) as client:
        one = tgrpc.InferInput(model.input, value.shape, "FP32")
        one.set_data_from_numpy(value)
        result.append(client.infer(model.name, [one]).as_numpy(model.output))
    return result


def measure(server, model, kind, connections, seconds, folder):
    value = np.random.default_rng(1).random([1, *model.shape], np.float32)
    if kind == "http":
        return load.wrk(server.http, load.binary_body(model.name, model.input, [1, *model.shape]), connections,
                        seconds, folder)
    if kind == "json":
        return load.wrk(server.http, load.json_body(model.name, model.input, [1, *model.shape]), connections, seconds,
                        folder)
    method = "ModelInfer" if kind == "grpc" else "ModelStreamInfer"
    return load.h2load(server.grpc, f"/inference.GRPCInferenceService/{method}", grpc_message(model, value), connections,
                       seconds, folder, 1 if kind == "grpc" else STREAM_MESSAGES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="http,json,grpc,stream")
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--without", default="")
    parser.add_argument("--triton-venv", type=pathlib.Path, default=ROOT / ".venv-bench-triton")
    parser.add_argument("--mlserver-venv", type=pathlib.Path, default=ROOT / ".venv-bench-mlserver")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    connections = [int(c) for c in arguments.connections.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        model = make_model(arguments.model, folder, 2)
        starts = {"ingot": lambda: servers.ingot(arguments.build.resolve(), folder, model),
                  "triton": lambda: servers.triton(arguments.triton_venv.resolve(), folder, model),
                  "mlserver": lambda: servers.mlserver(arguments.mlserver_venv.resolve(), folder, model, False),
                  "mlserver, batching": lambda: servers.mlserver(arguments.mlserver_venv.resolve(), folder, model, True)}
        for name in list(starts):
            if name.split(",")[0] in arguments.without.split(","):
                del starts[name]
        kinds = [(kind, c) for kind in arguments.only.split(",") for c in connections]
        results, memory, first = {}, {}, None
        for number in range(arguments.rounds):
            for name, start in starts.items():
                server = start()
                try:
                    server.wait(model.name)
                    value = np.random.default_rng(2).random([3, *model.shape], np.float32)
                    got = answers(server, model, value)
                    first = got[0] if first is None else first
                    for one in got:
                        if one is not None and not np.allclose(one.reshape(first.shape), first, 1e-3, 1e-4):
                            raise RuntimeError(f"{name} answers otherwise")
                    for kind, c in kinds:
                        if kind == "http" and got[1] is None:
                            continue
                        measure(server, model, kind, c, 1, folder)  # warm
                        one = measure(server, model, kind, c, arguments.seconds, folder)
                        results.setdefault((kind, c, name), []).append(one)
                        print(f"round {number + 1} {name:20} {kind:6} {c:3} connections: {one.rate:9.0f}/s "
                              f"p50 {1e3 * one.p50:8.3f} ms p99 {1e3 * one.p99:8.3f} ms failed {one.failed}", flush=True)
                    memory[name] = server.memory()
                finally:
                    server.stop()
    report(results, memory, kinds, list(starts), arguments)
    return 0


def report(results, memory, kinds, names, arguments):
    print(f"\n{arguments.model}: requests a second and p99 in ms, medians of {arguments.rounds} rounds; "
          "in brackets, Ingot's throughput as a multiple")
    table = []
    for kind, c in kinds:
        row, ours = f"{kind:6} {c:3}", None
        for name in names:
            loads = results.get((kind, c, name))
            if not loads:
                continue
            rate = statistics.median(one.rate for one in loads)
            p99 = statistics.median(one.p99 for one in loads)
            failed = sum(one.failed for one in loads)
            ours = rate if name == "ingot" else ours
            ratio = f" ({ours / rate:.1f}x)" if ours and name != "ingot" and rate else ""
            row += f" | {name} {rate:.0f}/s{ratio} p99 {1e3 * p99:.2f}" + (f" {failed} failed" if failed else "")
            table.append({"kind": kind, "connections": c, "server": name, "requests_per_second": rate,
                          "p99_seconds": p99, "failed": failed})
        print(row)
    print("memory, MiB: " + ", ".join(f"{name} {mib:.0f}" for name, mib in memory.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"model": arguments.model, "rows": table, "memory_mib": memory}, indent=1))


sys.exit(main())
