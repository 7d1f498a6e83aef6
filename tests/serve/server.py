"""A server of a test's own: `ingot serve` on free ports; and tests that share one."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", "build")).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "serve"


class Server:
    """One server on free ports, for as long as the object lives."""

    def __init__(self, *arguments, build=BUILD):
        self.process = subprocess.Popen(
            [str(pathlib.Path(build) / "ingot"), "serve", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0",
             *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.reader = threading.Thread(target=self._drain, daemon=True)
        self.reader.start()
        self.line = self.process.stdout.readline()
        match = re.fullmatch(r"ready http=(\S+) grpc=(\S+) metrics=(\S+)\n", self.line)
        if not match:
            self.process.kill()
            time.sleep(0.2)
            raise AssertionError(f"no ready line: {self.line!r} {''.join(self.log)}")
        self.http, self.grpc, self.metrics = match.groups()

    def _drain(self):
        for line in self.process.stderr:
            self.log.append(line)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.reader.join()
        self.process.stderr.close()
        return code

    def get(self, path, method="GET", body=None, headers=None, address=None):
        """(status, headers, body) of a plain request."""
        request = urllib.request.Request(f"http://{address or self.http}{path}", data=body, method=method,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def raw(self, data, close=True, address=None, timeout=30):
        """What comes back for bytes as they are, until the server closes (or `close` is false: at once)."""
        host, port = (address or self.http).rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            connection.sendall(data)
            answer = b""
            while True:
                more = connection.recv(65536)
                answer += more
                if not more or not close:
                    return answer


def add_model(folder, name, source, config=None, versions=(1,)):
    for version in versions:
        (folder / name / str(version)).mkdir(parents=True, exist_ok=True)
        if source:
            shutil.copy(MODELS / f"{source}.onnx", folder / name / str(version) / "model.onnx")
    if config:
        (folder / name / "config.pbtxt").write_text(config)


class ServerTest(unittest.TestCase):
    """Tests that share one server: of the models that `add_models` puts into its repository."""

    ARGUMENTS = ()   # of the server; {folder} stands for the tests' own folder
    CLIENTS = False  # whether cls.http and cls.grpc are to be clients of tritonclient

    @classmethod
    def add_models(cls, repository):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ingot-serve-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.repository = cls.folder / "models"
        cls.repository.mkdir()
        cls.add_models(cls.repository)
        cls.server = Server("--repository", str(cls.repository),
                            *(argument.format(folder=cls.folder) for argument in cls.ARGUMENTS))
        cls.addClassCleanup(cls.stop_server)
        if cls.CLIENTS:
            import tritonclient.grpc
            import tritonclient.http
            cls.http = tritonclient.http.InferenceServerClient(cls.server.http, network_timeout=60)
            cls.addClassCleanup(cls.http.close)
            cls.grpc = tritonclient.grpc.InferenceServerClient(cls.server.grpc)
            cls.addClassCleanup(cls.grpc.close)

    @classmethod
    def stop_server(cls):
        code = cls.server.stop()
        assert code == 0, f"exit status {code}: {''.join(cls.server.log)}"


def main():
    """Runs the tests of the program."""
    unittest.main(verbosity=int(os.environ.get("VERBOSITY", "1")), argv=[sys.argv[0], *sys.argv[1:]])
