"""A server of a test's own: `ingot serve` on free ports."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", "build")).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "serve"


class Server:
    """One server on free ports, for as long as the object lives."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [str(BUILD / "ingot"), "serve", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0",
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
