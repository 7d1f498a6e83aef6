"""Servers that each test starts for itself: one file, API keys, TLS, systemd's sockets, wrong usage."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.request

import grpc
import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from server import BUILD, MODELS, Server, add_model, main
from tritonclient.utils import InferenceServerException


class ProcessTest(unittest.TestCase):
    def test_single_file_and_drain(self):
        server = Server(str(MODELS / "double.onnx"))
        client = thttp.InferenceServerClient(server.http)
        one = thttp.InferInput("x", [1, 16], "FP32")
        one.set_data_from_numpy(np.ones((1, 16), np.float32))
        np.testing.assert_array_equal(client.infer("double", [one]).as_numpy("y"), 2)
        client.close()
        self.assertEqual(server.stop(), 0)

    def test_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            digest = {k: hashlib.sha256(k.encode()).hexdigest() for k in ("alpha", "beta", "gamma")}
            keys.write_text(f"ada {digest['alpha']} admin\nbob {digest['beta']} models=other*\n"
                            f"eve {digest['gamma']} rate=1\n")
            server = Server(str(MODELS / "double.onnx"), "--keys", str(keys))
            path = "/v2/models/double"
            for key, status in ((None, 401), ("wrong", 401), ("alpha", 200), ("beta", 403)):
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                self.assertEqual(server.get(path, headers=headers)[0], status, key)
            self.assertEqual(server.get("/v2/health/ready")[0], 200)
            for trick in ("/v2//models/double", "//v2/models//double/config", "/v2/models/%64ouble"):
                self.assertEqual(server.get(trick, headers={"X-API-Key": "beta"})[0], 403, trick)
            for trick in ("/%762/models/double", "/v2/models/double/%63onfig"):
                self.assertEqual(server.get(trick)[0], 401, trick)
            for trick in ("/%762/logging", "/v2/%6cogging", "/%762/repository/models/double/unload",
                          "/v2/models/double/trace/%73etting"):
                self.assertEqual(server.get(trick, "POST", b"{}")[0], 401, trick)
                self.assertEqual(server.get(trick, "POST", b"{}", {"X-API-Key": "beta"})[0], 403, trick)
            for key, status in ((b"beta", 403), (b"alpha", 200)):  # a target in absolute form is what its path is
                answer = server.raw(b"GET http://x/v2/models/double HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key +
                                    b"\r\nConnection: close\r\n\r\n")
                self.assertTrue(answer.startswith(f"HTTP/1.1 {status} ".encode()), answer)
            channel = grpc.insecure_channel(server.grpc)
            config = channel.unary_unary("/inference.GRPCInferenceService/ModelConfig")
            with self.assertRaises(grpc.RpcError) as refused:  # the last name counts
                config(b"\x0a\x06others\x0a\x06double", metadata=[("authorization", "Bearer beta")])
            self.assertEqual(refused.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
            channel.close()
            client = tgrpc.InferenceServerClient(server.grpc)
            one = tgrpc.InferInput("x", [1, 16], "FP32")
            one.set_data_from_numpy(np.ones((1, 16), np.float32))
            for key, code in ((None, "UNAUTHENTICATED"), ("beta", "PERMISSION_DENIED")):
                for compression in (None, "gzip"):
                    with self.assertRaises(InferenceServerException) as caught:
                        client.infer("double", [one], compression_algorithm=compression,
                                     headers={"authorization": f"Bearer {key}"} if key else None)
                    self.assertIn(code, caught.exception.status())
            answers, done = [], threading.Semaphore(0)
            client.start_stream(lambda result, error: (answers.append(error), done.release()),
                                headers={"authorization": "Bearer beta"})
            client.async_stream_infer("double", [one])
            self.assertTrue(done.acquire(timeout=60))
            client.stop_stream()
            client.close()
            self.assertIn("may not use model", str(answers[0]))
            for key, status in (("alpha", 0), ("wrong", 2)):
                done = subprocess.run([str(BUILD / "ingot"), "client", "infer", "double", "--url", server.http,
                                       "--key", key], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, status, done.stderr)
            statuses = [server.get(path, headers={"X-API-Key": "gamma"})[0] for _ in range(3)]
            self.assertIn(429, statuses)
            self.assertEqual(server.get("/v2/logging", "POST", b"{}", {"X-API-Key": "beta"})[0], 403)
            self.assertEqual(server.stop(), 0)

    def test_keys_list_the_models_that_they_may_use(self):
        with tempfile.TemporaryDirectory() as folder:
            keys, models = pathlib.Path(folder) / "keys", pathlib.Path(folder) / "models"
            digest = {k: hashlib.sha256(k.encode()).hexdigest() for k in ("alpha", "beta")}
            keys.write_text(f"ada {digest['alpha']}\nbob {digest['beta']} models=half*\n")
            for name in ("double", "half"):
                add_model(models, name, name)
            server = Server("--repository", str(models), "--keys", str(keys))
            channel = grpc.insecure_channel(server.grpc)
            for key, names in (("alpha", {"double", "half"}), ("beta", {"half"})):
                headers = {"X-API-Key": key}
                stats = json.loads(server.get("/v2/models/stats", headers=headers)[2])
                self.assertEqual({m["name"] for m in stats["model_stats"]}, names)
                index = json.loads(server.get("/v2/repository/index", "POST", b"{}", headers)[2])
                self.assertEqual({m["name"] for m in index}, names)
                text = server.get("/metrics", headers=headers, address=server.metrics)[2].decode()
                self.assertEqual(set(re.findall(r'model="(\w+)"', text)), names)
                self.assertIn("ingot_connections", text)
                for method in ("ModelStatistics", "RepositoryIndex"):
                    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
                    answer = call(b"", metadata=[("x-api-key", key)])
                    self.assertEqual({n for n in ("double", "half") if n.encode() in answer}, names, method)
            channel.close()
            self.assertEqual(server.stop(), 0)
            keys.write_text(f"bob {digest['beta']} models=\n")
            done = subprocess.run([str(BUILD / "ingot"), "serve", "--repository", str(models), "--keys", str(keys),
                                   "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("'models=' names no model", done.stderr)

    @unittest.skipUnless(shutil.which("openssl"), "needs the program openssl")
    def test_mutual_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            def openssl(*arguments):
                subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
            for name in ("ca", "server", "client"):
                signed = ["-CA", "ca.crt", "-CAkey", "ca.key"] if name != "ca" else []
                openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                        *signed)
            server = Server(str(MODELS / "double.onnx"), "--tls-cert", f"{folder}/server.crt", "--tls-key",
                            f"{folder}/server.key", "--tls-client-ca", f"{folder}/ca.crt")
            context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
            with self.assertRaises(OSError):
                urllib.request.urlopen(f"https://{server.http}/v2", context=context, timeout=30).read()
            context.load_cert_chain(f"{folder}/client.crt", f"{folder}/client.key")
            with urllib.request.urlopen(f"https://{server.http}/v2", context=context, timeout=30) as answer:
                self.assertEqual(answer.status, 200)
            def call(*options):
                return subprocess.run([str(BUILD / "ingot"), "client", "infer", "double", "--url",
                                       f"https://{server.http}", "--json", *options], timeout=60,
                                      capture_output=True, text=True, check=False)
            ours = ["--cert", f"{folder}/client.crt", "--cert-key", f"{folder}/client.key"]
            done = call("--ca", f"{folder}/ca.crt", *ours)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["outputs"][0]["data"], [0] * 16)
            self.assertEqual(call("--insecure", *ours).returncode, 0)
            done = call(*ours)
            self.assertEqual(done.returncode, 1)
            self.assertIn("the certificate of 127.0.0.1 is refused", done.stderr)
            self.assertEqual(call("--ca", f"{folder}/ca.crt").returncode, 1, "no certificate of its own")
            done = call("--ca", f"{folder}/missing.crt", *ours)
            self.assertIn("missing.crt' cannot be used", done.stderr)
            client = tgrpc.InferenceServerClient(
                server.grpc, ssl=True, root_certificates=f"{folder}/ca.crt", private_key=f"{folder}/client.key",
                certificate_chain=f"{folder}/client.crt")
            one = tgrpc.InferInput("x", [1, 16], "FP32")
            one.set_data_from_numpy(np.ones((1, 16), np.float32))
            np.testing.assert_array_equal(client.infer("double", [one]).as_numpy("y"), 2)
            client.close()
            self.assertEqual(server.stop(), 0)

    def test_sockets_of_systemd(self):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]

        def hand_over():
            copies = [os.dup(s.fileno()) for s in sockets]
            high = [os.dup2(c, 100 + i, inheritable=True) for i, c in enumerate(copies)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
            os.environ["LISTEN_PID"] = str(os.getpid())
        process = subprocess.Popen([str(BUILD / "ingot"), "serve", str(MODELS / "double.onnx")], close_fds=False,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   env=None, preexec_fn=lambda: (os.environ.update(LISTEN_FDS="3"), hand_over()))
        line = process.stdout.readline()
        addresses = ["127.0.0.1:%d" % s.getsockname()[1] for s in sockets]
        self.assertEqual(line, "ready http={} grpc={} metrics={}\n".format(*addresses))
        for s in sockets:
            s.close()
        with urllib.request.urlopen(f"http://{addresses[0]}/v2/health/ready", timeout=30) as answer:
            self.assertEqual(answer.status, 200)
        process.terminate()
        self.assertEqual(process.wait(timeout=60), 0)
        process.stdout.close()

    def test_wrong_usage(self):
        for arguments in (["serve"], ["serve", "nothing.onnx"], ["serve", "--repository", "nowhere"],
                          ["serve", "--frobnicate"],
                          ["serve", str(MODELS / "double.onnx"), "--load", "double"],
                          ["serve", str(MODELS / "double.onnx"), "--explicit", "--load", "single", "--http-port", "0",
                           "--grpc-port", "0", "--metrics-port", "0"],
                          ["serve", str(MODELS / "double.onnx"), "--otlp", "ftp://collector", "--http-port", "0",
                           "--grpc-port", "0", "--metrics-port", "0"],
                          ["client", "infer", "double", "--url", "ftp://127.0.0.1"],
                          ["client", "infer", "double", "--url", "http://127.0.0.1:many"]):
            done = subprocess.run([str(BUILD / "ingot"), *arguments], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("error:", done.stderr)


if __name__ == "__main__":
    main()
