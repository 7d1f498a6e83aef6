"""Many clients that are as slow as they can be: what the tests and the benchmark of the server share.

Each connects, and then holds its connection in one of these ways, in turns:

idle      says nothing
head      sends the head of a request a byte a second
body      sends the body of a request a byte a second
reader    asks for a large answer and takes a few bytes of it a second
http2     opens an HTTP/2 connection with a window of no bytes, asks on several streams, and waits
idle2     greets in HTTP/2 and says nothing more
"""

import json
import socket
import struct
import threading
import time

KINDS = ("idle", "head", "body", "reader", "http2", "idle2")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field, neither indexed nor compressed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class SlowClients:
    """`count` of them, run by one thread until `close`. `model` gives back its input `x`, [1, n] of FP32."""

    def __init__(self, address, model, count, n=65536):
        host, port = address.rsplit(":", 1)
        self.address, self.model = (host, int(port)), model
        json_head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, n],
                                            "parameters": {"binary_data_size": 4 * n}}],
                                "parameters": {"binary_data_output": True}}).encode()
        self.length = str(len(json_head)).encode()
        self.large = json_head + bytes(4 * n)
        self.sockets = {}
        self.stopping = threading.Event()
        for number in range(count):
            self.open(KINDS[number % len(KINDS)])
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def open(self, kind):
        connection = socket.socket()
        try:
            self.greet(connection, kind)
        except OSError:
            connection.close()
            raise

    def greet(self, connection, kind):
        if kind == "reader":
            # What the system itself takes for a client that does not read is kept small.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(30)
        connection.connect(self.address)
        head = (f"POST /v2/models/{self.model}/infer HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: {len(self.large)}\r\n").encode()
        head += b"Inference-Header-Content-Length: " + self.length + b"\r\n\r\n"
        if kind == "reader":
            connection.sendall(head + self.large)
            connection.setblocking(False)
        elif kind == "body":
            connection.sendall(head + self.large[:20])
        elif kind in ("http2", "idle2"):
            hello = PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 0))  # SETTINGS: a window of 0 bytes
            for stream in range(1, 9, 2) if kind == "http2" else ():
                fields = (b"\x83\x86" + literal(b":path", f"/v2/models/{self.model}/infer".encode()) +
                          literal(b":authority", b"x") + literal(b"inference-header-content-length", self.length))
                hello += frame(1, 4, stream, fields)
                for at in range(0, len(self.large), 16000):
                    part = self.large[at:at + 16000]
                    hello += frame(0, 1 if at + 16000 >= len(self.large) else 0, stream, part)
            connection.sendall(hello)
        connection.setblocking(False)
        slow = head + b"x" * 4096 if kind == "head" else self.large[20:]
        self.sockets[connection] = [kind, slow, 0]

    def run(self):
        while not self.stopping.is_set():
            begin = time.monotonic()
            for connection, state in list(self.sockets.items()):
                kind, data, at = state
                try:
                    if kind in ("head", "body"):
                        connection.send(data[at:at + 1])
                        state[2] += 1
                    elif kind == "reader" and not connection.recv(16):
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    # Cut off, as it should be after a while: another takes its place.
                    connection.close()
                    del self.sockets[connection]
                    try:
                        self.open(kind)
                    except OSError:
                        pass
                if self.stopping.is_set():
                    return
            self.stopping.wait(max(0.0, 1 - (time.monotonic() - begin)))

    def close(self):
        self.stopping.set()
        self.thread.join()
        for connection in self.sockets:
            connection.close()
