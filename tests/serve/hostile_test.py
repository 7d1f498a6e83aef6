"""Clients that are broken, slow or many, against `ingot serve`: the server answers what it should, and
goes on."""

import concurrent.futures
import http.client
import json
import re
import socket
import struct
import time

from server import BUILD, ServerTest, add_model, main
from slow_clients import SlowClients, frame, literal

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1] * 16}]}).encode()
INFER = "/v2/models/double/infer"
PROGRAM = (BUILD / "ingot-serve").read_bytes()
# Sanitizers keep freed memory and records of their own: limits on memory are so much wider with them.
SANITIZED = any(name in PROGRAM for name in (b"__asan_init", b"__tsan_init"))
MEMORY = (64 << 20) * (16 if SANITIZED else 1)


def request(body=BODY, extra=b"", path=INFER, method="POST"):
    return (f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode() + extra +
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


class HostileTest(ServerTest):
    ARGUMENTS = ("--max-body", "1", "--max-memory", "8")

    @classmethod
    def add_models(cls, repository):
        for name in ("double", "identity_fp32"):
            add_model(repository, name, name)

    def tearDown(self):
        status, _, answer = self.server.get(INFER, "POST", BODY)
        self.assertEqual((status, json.loads(answer)["outputs"][0]["data"]), (200, [2] * 16))

    def metric(self, name):
        text = self.server.get("/metrics", address=self.server.metrics)[2].decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE).group(1))

    def test_malformed_http(self):
        close = b"Connection: close\r\n"
        for data, status in [
                (b"nonsense\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", 400),
                (b"GET /v2 HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
                (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
                (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", 400),
                (b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431),
                (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
                (request(b"x" * (2 << 20), close), 413),
                (b"GET /v2/%zz HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n", 400),
                (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n", 404),
                (b"DELETE /v2 HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n", 405),
                (b"GET /v2 HTTP/1.1\r\n\r\n", 400), (b"GET /v2 HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400),
                (b"GET /v2 HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
                (b"POST /v2 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", 400),
                (b"GET http:///v2 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
                (b"GET http://ada@x/v2 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
                (b"GET ftp://x/v2 HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n", 404),
                (request(b"[" * 1000, close), 400), (request(b"\xff\xfe", close), 400)]:
            try:
                answer = self.server.raw(data)
            except ConnectionError:
                continue  # closed while the rest was on its way: refused, too
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} ".encode()), f"{data[:60]}: {answer[:200]}")
            self.assertIn(b'"error"', answer)

    def test_http_as_it_may_be_used(self):
        two = self.server.raw(request() + request(extra=b"Connection: close\r\n"))
        self.assertEqual(two.count(b"HTTP/1.1 200 OK"), 2)
        many = self.server.raw(request() * 200 + request(extra=b"Connection: close\r\n"))
        self.assertEqual(many.count(b"HTTP/1.1 200 OK"), 201)
        half = len(BODY) // 2
        chunks = b"".join(f"{len(c):x}\r\n".encode() + c + b"\r\n" for c in (BODY[:half], BODY[half:], b""))
        answer = self.server.raw(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                                 "Connection: close\r\n\r\n".encode() + chunks)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK"), answer)
        answer = self.server.raw(request(extra=b"Expect: 100-continue\r\nConnection: close\r\n")[:-len(BODY)],
                                 close=False)
        self.assertTrue(answer.startswith(b"HTTP/1.1 100 Continue"), answer)
        answer = self.server.raw(b"GET /v2 HTTP/1.0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK"), answer)
        head = self.server.raw(b"HEAD /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertTrue(head.endswith(b"\r\n\r\n"), head)
        for target, status in (("http://x:8000/v2/health/live", 200), ("HTTPS://x/v2/health/live?a=b", 200),
                               ("http://x", 200), ("http://x?a=b", 200), ("http://x/v2/models/nothing", 404)):
            answer = self.server.raw(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} ".encode()), f"{target}: {answer[:200]}")
        # One byte at a time.
        host, port = self.server.http.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in request(extra=b"Connection: close\r\n"):
                connection.sendall(bytes([byte]))
            self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200 OK"))

    def test_malformed_http2(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for data in (preface + b"\xff" * 200, preface + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\6\0\0\0\0\1" + b"a" * 8,
                     preface + struct.pack(">I", 1 << 24 - 8)[1:] + b"\0\0\0\0\0\1", preface[:20] + b"x" * 50):
            for address in (self.server.grpc, self.server.http):
                try:
                    self.server.raw(data, address=address, timeout=60)
                except ConnectionError:
                    pass

    def test_cancelling_often_keeps_the_connection(self):
        host, port = self.server.grpc.rsplit(":", 1)
        fields = b"\x83\x86" + literal(b":path", INFER.encode()) + literal(b":authority", b"x")
        hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(hello + b"".join(  # HEADERS, then RST_STREAM: CANCEL
                frame(1, 4, stream, fields) + frame(3, 0, stream, b"\0\0\0\x08") for stream in range(1, 3001, 2)))
            connection.sendall(frame(1, 4, 3001, fields) + frame(0, 1, 3001, BODY))
            answer, kinds, streams = b"", set(), set()
            while 3001 not in streams or 0 not in kinds:
                more = connection.recv(65536)
                self.assertTrue(more, "the server has closed the connection")
                answer += more
                while len(answer) >= 9 and len(answer) >= 9 + int.from_bytes(answer[:3], "big"):
                    kinds.add(answer[3])
                    streams.add(int.from_bytes(answer[5:9], "big"))
                    answer = answer[9 + int.from_bytes(answer[:3], "big"):]
            self.assertNotIn(7, kinds, "GOAWAY")

    def test_clients_that_go_away(self):
        before = self.metric("ingot_connections")
        host, port = self.server.http.rsplit(":", 1)
        for cut in range(1, len(request()), 37):
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(request()[:cut])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for _ in range(50):
            if self.metric("ingot_connections") <= before + 1:
                break
            time.sleep(0.1)
        self.assertLessEqual(self.metric("ingot_connections"), before + 1)
        self.assertEqual(self.metric("ingot_requests_in_flight"), 0)

    def test_a_thousand_slow_connections(self):
        host, port = self.server.http.rsplit(":", 1)
        before = self.metric("ingot_resident_memory_bytes")
        slow = SlowClients(self.server.http, "identity_fp32", 1000, n=4096)  # 16 KiB of FP32
        try:
            connection = http.client.HTTPConnection(host, int(port), timeout=60)
            answered = 0
            for _ in range(600):
                connection.request("POST", INFER, BODY)
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status == 503:  # the bodies of the others take all there may be just now
                    time.sleep(0.1)
                    continue
                self.assertEqual(answer["outputs"][0]["data"], [2] * 16)
                answered += 1
                if answered == 200:
                    break
            self.assertEqual(answered, 200)
            connection.close()
            self.assertGreaterEqual(self.metric("ingot_connections"), 500)
            # 8 MiB of bodies, 8 MiB of answers, and what a connection itself takes.
            self.assertLess(self.metric("ingot_resident_memory_bytes") - before, MEMORY)
        finally:
            slow.close()
        for _ in range(100):
            if self.metric("ingot_connections") <= 3:
                break
            time.sleep(0.1)
        self.assertLessEqual(self.metric("ingot_connections"), 3)
        self.assertEqual(self.metric("ingot_requests_in_flight"), 0)

    def test_readers_that_take_nothing_are_cut_off_where_memory_ends(self):
        before = self.metric("ingot_resident_memory_bytes")
        for kind, number in (("reader", 200), ("http2", 50)):
            slow = SlowClients(self.server.http, "identity_fp32", 0, n=131072)  # 512 KiB
            try:
                for _ in range(number):  # 100 MiB of answers; 8 MiB may wait, and some lie in sockets
                    try:
                        slow.open(kind)
                    except OSError:
                        pass  # the request was refused while it was on its way
                if kind == "reader":
                    self.assertLess(self.metric("ingot_connections"), number / 2)
                self.assertLess(self.metric("ingot_resident_memory_bytes") - before, MEMORY)
            finally:
                slow.close()

    def test_memory_in_flight_is_bounded(self):
        host, port = self.server.http.rsplit(":", 1)
        body = b"x" * 1_000_000
        half = [socket.create_connection((host, int(port)), timeout=30) for _ in range(16)]
        answers = 0
        try:
            for connection in half:
                try:
                    connection.sendall(request(body)[:-10])
                except OSError:
                    pass  # refused while it was on its way
            for connection in half:
                connection.settimeout(1)
                try:
                    answers += connection.recv(4096).startswith(b"HTTP/1.1 503")
                except OSError:
                    pass
        finally:
            for connection in half:
                connection.close()
        self.assertGreater(answers, 0)

    def test_bodies_that_are_announced_alone_take_no_memory(self):
        host, port = self.server.http.rsplit(":", 1)
        head = request(b"x" * 1_000_000)[:-1_000_000]
        idle = [socket.create_connection((host, int(port)), timeout=30) for _ in range(16)]
        try:
            for connection in idle:
                connection.sendall(head)
            for connection in idle:  # the server has read the head, and waits for the body
                connection.settimeout(0.1)
                with self.assertRaises(TimeoutError):
                    connection.recv(4096)
            status, _, answer = self.server.get(INFER, "POST", BODY)
            self.assertEqual(status, 200, answer)
        finally:
            for connection in idle:
                connection.close()

    def test_wrong_requests_in_parallel(self):
        wrong = [b"", b"{", b"[]", b'{"inputs":1}', b'{"inputs":[1]}', b'{"inputs":[{}]}',
                 b'{"inputs":[{"name":1}]}', b'{"inputs":[{"name":"x","shape":"1","datatype":"FP32","data":[]}]}',
                 b'{"inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","data":[1]}]}',
                 b'{"inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","data":"1"}]}',
                 b'{"inputs":[{"name":"x","shape":[1,1e30],"datatype":"FP32","data":[1]}]}',
                 b'{"inputs":[{"name":"x","shape":[4294967296,4294967296],"datatype":"FP32","data":[1]}]}',
                 b'{"inputs":[],"parameters":{"priority":-1}}', b'{"inputs":[],"parameters":[]}',
                 b'{"inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","parameters":{"binary_data_size":64}}]}',
                 b'{"inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","parameters":'
                 b'{"shared_memory_region":"r","shared_memory_byte_size":64}}]}',
                 BODY[:-1] + b',"outputs":[{"name":"z"}]}', BODY[:-1] + b',"outputs":[{}]}']

        def call(number):
            body = wrong[number % len(wrong)]
            status, _, answer = self.server.get(INFER, "POST", body)
            return body, status, answer
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for body, status, answer in pool.map(call, range(4 * len(wrong))):
                self.assertEqual(status, 400, f"{body}: {answer}")
                self.assertTrue(json.loads(answer)["error"])


if __name__ == "__main__":
    main()
