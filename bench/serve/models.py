"""What the server adds to a model: `ingot bench` and `ingot serve` with `ingot client perf` in turns, same batch sizes.

usage: models.py BUILD MODEL.onnx... [--batches 1,8,32] [--connections N] [--threads N] [--seconds S] [--rounds R]

Printed are medians of samples a second, alone and served, and of the CPU time of a sample. The client shares the
CPUs with the server; CPU time counts the server alone, and hardly moves when others keep the machine busy. With more
than one thread it counts what threads wait for each other, too. A request has a whole batch.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

from own_server import Server


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ingot = str(arguments.build / "ingot")

    def run(*command):
        """The JSON that it prints, and the CPU seconds it took."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([ingot, *command, "--json"], capture_output=True, text=True, check=True,
                              timeout=60 + 10 * arguments.seconds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def alone(model, batch):
        """Samples a second, and CPU seconds of a sample: what a longer run takes more than a short one."""
        def bench(seconds):
            return run("bench", str(model), "--batch", batch, "--threads", str(arguments.threads), "--seconds",
                       str(seconds))
        (short, cpu_short), (long, cpu_long) = bench(0.2), bench(arguments.seconds)
        samples = (long["runs"] - short["runs"]) * int(batch)
        return long["per_second"], (cpu_long - cpu_short) / max(samples, 1)

    def served(server, model, batch):
        def cpu():
            fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        command = ("client", "perf", model.stem, "--url", server.http, "--batch", batch, "--concurrency",
                   str(arguments.connections), "--seconds")
        run(*command, "0.2")
        before = cpu()
        load, _ = run(*command, str(arguments.seconds))
        assert load["failed"] == 0, load
        return load["rows_per_second"], (cpu() - before) / (load["requests"] * int(batch))
    for model in arguments.models:
        server = Server(str(model), "--threads", str(arguments.threads), build=arguments.build)
        try:
            for batch in arguments.batches.split(","):
                pairs = [(alone(model, batch), served(server, model, batch)) for _ in range(arguments.rounds)]
                rates = [statistics.median(pair[i][0] for pair in pairs) for i in range(2)]
                times = [1e6 * statistics.median(pair[i][1] for pair in pairs) for i in range(2)]
                rate = statistics.median(s[0] / a[0] for a, s in pairs)
                cpu = statistics.median(a[1] / s[1] for a, s in pairs)
                print(f"{model.stem} batch {batch}, {arguments.threads} threads: {rates[0]:.0f} and {rates[1]:.0f} "
                      f"samples/s ({100 * rate:.0f}%); CPU {times[0]:.0f} and {times[1]:.0f} us a sample "
                      f"({100 * cpu:.0f}%)", flush=True)
        finally:
            server.stop()
    return 0


sys.exit(main())
