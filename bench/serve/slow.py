"""How much 1,000 slow connections take from the other clients of a server.

usage: slow.py BUILD [--connections N] [--seconds S] [--rounds R]; needs wrk. A round measures, one after the
other, sixteen quick clients alone and beside the slow ones (tests/serve/slow_clients.py says how they are slow);
printed are each round's p99 and throughput, their medians, and the memory of the server.
"""

import argparse
import pathlib
import re
import statistics
import sys
import tempfile
import time

from load import binary_body, wrk
from own_server import Server, SlowClients, add_model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    models = tempfile.TemporaryDirectory()
    for name in ("double", "identity_fp32"):
        add_model(pathlib.Path(models.name), name, name)
    server = Server("--repository", models.name, build=arguments.build)

    def resident():
        text = server.get("/metrics", address=server.metrics)[2].decode()
        return float(re.search(r"^ingot_resident_memory_bytes (\S+)$", text, re.MULTILINE).group(1)) / 2**20

    def settle():
        """Waits until the server has answered what the slow ones have sent."""
        def work():
            return sum(int(v) for v in pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().split()[13:15])
        before, until = -1, time.monotonic() + 60
        while work() > before + 1 and time.monotonic() < until:
            before = work()
            time.sleep(1)

    with tempfile.TemporaryDirectory() as folder:
        request = binary_body("double", "x", [1, 16])

        def measure():
            return wrk(server.http, request, 16, arguments.seconds, pathlib.Path(folder))
        measure()
        alone, beside, memory = [], [], [resident()]
        for number in range(arguments.rounds):
            alone.append(measure())
            slow = SlowClients(server.http, "identity_fp32", arguments.connections)
            settle()
            beside.append(measure())
            memory.append(resident())
            slow.close()
            print(f"round {number + 1}: p99 {1e3 * alone[-1].p99:.2f} ms alone, {1e3 * beside[-1].p99:.2f} ms beside "
                  f"{arguments.connections} slow connections; {alone[-1].rate:.0f} and {beside[-1].rate:.0f} requests/s; "
                  f"{memory[-1]:.0f} MiB", flush=True)
    ratio = statistics.median(b.p99 / a.p99 for a, b in zip(alone, beside))
    print(f"p99 beside / alone: {ratio:.2f} (median of {arguments.rounds} rounds); memory {memory[0]:.0f} MiB before, "
          f"at most {max(memory):.0f} MiB; failed requests {sum(m.failed for m in alone + beside)}")
    code = server.stop()
    models.cleanup()
    return 1 if code != 0 or any(m.failed for m in alone + beside) else 0


sys.exit(main())
