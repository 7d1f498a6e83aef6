"""The servers that are measured, each started on free ports with one model made from an ONNX file.

Triton is the one inside PyPI's nvidia-pytriton, with its Python backend; MLServer has a runtime of its own around
ONNX Runtime, too. Both get what is quickest for them: requests that wait together are computed together, and ONNX
Runtime has one thread where the model is small.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request

TRITON_MODEL = '''
import json
import numpy as np
import onnxruntime
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = {threads}
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("{onnx}", options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        inputs = [utils.get_input_tensor_by_name(r, "{input}").as_numpy() for r in requests]
        joined = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        output = self.session.run(["{output}"], {{"{input}": joined}})[0]
        answers, at = [], 0
        for one in inputs:
            part = output[at:at + len(one)]
            at += len(one)
            answers.append(utils.InferenceResponse([utils.Tensor("{output}", part)]))
        return answers
'''

TRITON_CONFIG = '''
backend: "python"
max_batch_size: 64
input {{ name: "{input}" data_type: TYPE_FP32 dims: [ {dims} ] }}
output {{ name: "{output}" data_type: TYPE_FP32 dims: [ {output_dims} ] }}
dynamic_batching {{ }}
instance_group {{ count: 1 kind: KIND_CPU }}
'''

MLSERVER_RUNTIME = '''
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxRuntime(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = {threads}
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("{onnx}", options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        value = NumpyCodec.decode_input(payload.inputs[0])
        output = self.session.run(["{output}"], {{"{input}": value}})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("{output}", output)])
'''


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """A process that serves; `http` and `grpc` are its addresses."""

    def __init__(self, name, command, folder, environment=None, ports=None):
        self.name, self.ports = name, ports or free_ports(3)
        self.http, self.grpc = (f"127.0.0.1:{port}" for port in self.ports[:2])
        self.log = (pathlib.Path(folder) / f"{name}.log").open("w+")
        self.process = subprocess.Popen([part.format(*self.ports) for part in command], cwd=folder, stdout=self.log,
                                        stderr=self.log, env={**os.environ, **(environment or {})},
                                        start_new_session=True)

    def wait(self, model, seconds=120):
        until = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"http://{self.http}/v2/models/{model}/ready", timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    self.log.seek(0)
                    raise RuntimeError(f"{self.name} does not start: {self.log.read()[-3000:]}") from None
                time.sleep(0.2)

    def memory(self):
        """Resident MiB of the process and its children."""
        total = 0
        for folder in pathlib.Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and os.getsid(int(folder.name)) == self.process.pid:
                    total += int((folder / "statm").read_text().split()[1])
            except OSError:
                pass
        return total * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)  # the session is its own
                self.process.wait()


def ingot(build, folder, model):
    place = folder / "ingot" / model.name / "1"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(model.onnx, place / "model.onnx")
    return Server("ingot", [f"{build}/ingot", "serve", "--repository", str(folder / "ingot"), "--http-port", "{0}",
                            "--grpc-port", "{1}", "--metrics-port", "{2}"], folder)


def triton(venv, folder, model):
    site = next((venv / "lib").glob("python3*/site-packages"))
    source = site / "pytriton" / "tritonserver"
    backends = folder / "backends"
    if not backends.exists():
        shutil.copytree(source / "backends", backends)
        version = site.parent.name.removeprefix("python")
        for file in (source / "python_backend_stubs" / version).iterdir():
            shutil.copy(file, backends / "python")
    place = folder / "triton" / model.name
    (place / "1").mkdir(parents=True, exist_ok=True)
    (place / "config.pbtxt").write_text(TRITON_CONFIG.format(**model.words()))
    (place / "1" / "model.py").write_text(TRITON_MODEL.format(**model.words()))
    return Server("triton", [str(source / "bin" / "tritonserver"), f"--model-repository={folder / 'triton'}",
                             f"--backend-directory={backends}", "--http-address=127.0.0.1", "--http-port={0}",
                             "--grpc-address=127.0.0.1", "--grpc-port={1}", "--metrics-port={2}",
                             "--log-verbose=0", "--http-thread-count=4"], folder,
                  {"PYTHONPATH": str(site), "LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR')}:{site}/nvidia_pytriton.libs",
                   "PATH": f"{venv}/bin:{os.environ['PATH']}"})


def mlserver(venv, folder, model, batching):
    place = folder / ("mlserver-batching" if batching else "mlserver")
    place.mkdir(exist_ok=True)
    (place / "runtime.py").write_text(MLSERVER_RUNTIME.format(**model.words()))
    more = ', "max_batch_size": 64, "max_batch_time": 0.001' if batching else ""
    (place / "model-settings.json").write_text(
        f'{{"name": "{model.name}", "implementation": "runtime.OnnxRuntime"{more}}}')
    ports = free_ports(3)
    (place / "settings.json").write_text(
        f'{{"debug": false, "parallel_workers": 0, "host": "127.0.0.1", "http_port": {ports[0]}, '
        f'"grpc_port": {ports[1]}, "metrics_port": {ports[2]}}}')
    return Server("mlserver", [f"{venv}/bin/mlserver", "start", "."], place,
                  {"PYTHONPATH": str(place), "PATH": f"{venv}/bin:{os.environ['PATH']}"}, ports)
