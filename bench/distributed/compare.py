"""Steps of several processes on this machine: Ingot beside PyTorch DDP on Gloo, in one run.

usage: compare.py [--networks mlp,cnn,gpt] [--workers 2,4] [--rounds 3] [--python PYTHON] [--order]

Each worker has one thread. Rounds alternate between the two; the median round counts, of the median
step of each. PYTHON is one that has torch (default: .venv-bench/bin/python; without it Ingot is
measured alone).

--order sets Ingot beside itself instead: what a step costs whose sums have the order of eight
logical shards, the same for any number of workers, against one with a shard for each worker, whose
order is free to be any.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
INGOT = ROOT / "build" / "ingot"
JOBS = {"mlp": ROOT / "examples/mnist/mnist.yaml", "cnn": ROOT / "bench/jobs/cnn.yaml",
        "gpt": ROOT / "bench/jobs/gpt.yaml"}
STEPS = {"mlp": 300, "cnn": 10, "gpt": 5}
PATIENCE_S = 300


def ingot(network, workers, shards=4):
    """Seconds of a step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [INGOT, "launch", "-n", workers, JOBS[network], "--out", f"{folder}/run", "--quiet",
                   "--threads", 1, "--epochs", 0, "--set", f"steps={STEPS[network]}", "--set",
                   "evaluate=false", "--set", f"logical_shards={shards}"]
        if network == "mlp":
            command += ["--set", "data.source={synthetic: {shape: [784], classes: 10, samples: 4096}}"]
        subprocess.run([str(word) for word in command], check=True, timeout=PATIENCE_S,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(f"{folder}/run/summary.json").read_text())[
            "step_microseconds_median"] * 1e-6


def ddp(python, network, workers):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(workers):
        environment = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(workers), MASTER_ADDR="127.0.0.1",
                           MASTER_PORT=str(port), OMP_NUM_THREADS="1")
        processes.append(subprocess.Popen(
            [python, str(ROOT / "bench/distributed/ddp.py"), network, str(STEPS[network])],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    try:
        return float(processes[0].communicate(timeout=PATIENCE_S)[0])
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare(network, workers, args, has_torch):
    own, peer = [], []
    for _ in range(args.rounds):
        own.append(ingot(network, workers))
        if has_torch:
            peer.append(ddp(args.python, network, workers))
    row = f"{network:8} {workers:7} {statistics.median(own) * 1000:7.2f} ms"
    if peer:
        ratio = statistics.median(peer) / statistics.median(own)
        row += f" {statistics.median(peer) * 1000:9.2f} ms {ratio:13.1f}"
    print(row, flush=True)


def compare_order(network, workers, args):
    fixed, free = [], []
    for _ in range(args.rounds):
        fixed.append(ingot(network, workers, shards=8))
        free.append(ingot(network, workers, shards=workers))
    cost = statistics.median(fixed) / statistics.median(free) - 1
    print(f"{network:8} {workers:7} {statistics.median(fixed) * 1000:7.2f} ms {statistics.median(free) * 1000:7.2f} ms "
          f"{100 * cost:+6.0f}%", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", default="mlp,cnn,gpt")
    parser.add_argument("--workers", default="2,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default=str(ROOT / ".venv-bench/bin/python"))
    parser.add_argument("--order", action="store_true")
    args = parser.parse_args()
    has_torch = pathlib.Path(args.python).exists()
    if args.order:
        print(f"{'network':8} {'workers':>7} {'8 shards':>10} {'a worker 1':>10} {'cost':>7}")
    else:
        if not has_torch:
            print(f"{args.python} is not there: PyTorch is not measured (--python names one that has torch)")
        print(f"{'network':8} {'workers':>7} {'Ingot':>10} {'PyTorch DDP':>12} {'times faster':>13}")
    for network in args.networks.split(","):
        for workers in map(int, args.workers.split(",")):
            if args.order:
                compare_order(network, workers, args)
            else:
                compare(network, workers, args, has_torch)


if __name__ == "__main__":
    main()
