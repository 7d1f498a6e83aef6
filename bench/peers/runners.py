"""Runs one measurement of Ingot or of a peer as a process of its own; standard library only.

Result of a run, a dict: step_microseconds, epoch_seconds, test_accuracy, first_step_seconds (process
start to the end of the first optimizer step), job_seconds (process start to the printed accuracy),
peak_bytes (largest resident set). A failed run raises Failed with the end of what the program said.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LONGEST_RUN_S = 600
MODULES = {"pytorch": "torch", "jax": "jax", "tensorflow": "tensorflow"}


class Failed(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Setting:
    """One job: what is varied over the runs."""

    data: pathlib.Path
    batch: int = 128
    epochs: int = 10
    threads: int = 2
    seed: int = 0
    init: str = "glorot"
    evaluate: bool = True


def peer_environment(threads):
    """For the peers' programs: CPUs only, so many threads."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(threads)}


def run_process(command, environment=None):
    """(stdout, seconds from start to the last line of stdout, start on CLOCK_MONOTONIC, peak bytes)."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=errors, text=True, env=environment)
        lines, last = [], start
        # Also a program that prints nothing ends.
        limit = threading.Timer(LONGEST_RUN_S, process.kill)
        limit.start()
        for line in process.stdout:
            lines.append(line)
            last = time.monotonic()
        limit.cancel()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode != 0:
            if time.monotonic() - start >= LONGEST_RUN_S:
                raise Failed(f"{' '.join(map(str, command))}: ended after {LONGEST_RUN_S} s")
            errors.seek(0)
            tail = (errors.read() + "".join(lines))[-2000:]
            raise Failed(f"{' '.join(map(str, command))}: exit status {process.returncode}\n{tail}")
    return "".join(lines), last - start, start, usage.ru_maxrss * 1024


def available(programs, python):
    """Those whose module this Python has; Ingot needs none."""
    modules = sorted({p.module for p in programs if p.module})
    if not modules:
        return programs
    find = ("import importlib.util, json, sys; "
            "print(json.dumps([m for m in sys.argv[1:] if importlib.util.find_spec(m)]))")
    out, *_ = run_process([python, "-c", find, *modules])
    present = json.loads(out)
    return [p for p in programs if p.module is None or p.module in present]


class Peer:
    """A peer's program in the environment of the peers."""

    def __init__(self, label, script, variant, distributions, python):
        self.label = label
        self.key = f"{script}-{variant}"
        self.module = MODULES[script]
        self._distributions = distributions
        self._script = HERE / f"peer_{script}.py"
        self._variant = variant
        self._python = python

    def run(self, setting):
        command = [self._python, self._script, "--variant", self._variant, "--data", setting.data,
                   "--batch", str(setting.batch), "--epochs", str(setting.epochs), "--threads",
                   str(setting.threads), "--seed", str(setting.seed), "--init", setting.init]
        if not setting.evaluate:
            command.append("--no-evaluate")
        out, seconds, start, peak = run_process(command, peer_environment(setting.threads))
        result = json.loads(out.splitlines()[-1])
        return {"step_microseconds": result["step_microseconds"],
                "epoch_seconds": result["epoch_seconds"],
                "test_accuracy": result["test_accuracy"],
                "first_step_seconds": result["first_step_at"] - start,
                "job_seconds": seconds, "peak_bytes": peak}

    def installed_bytes(self):
        out, *_ = run_process([self._python, HERE / "sizes.py", *self._distributions])
        sizes = json.loads(out)
        return sizes["bytes"], sizes["gpu"]


class Ingot:
    """build/ingot on examples/mnist/mnist.yaml, whose initialisation is Glorot's, zero biases."""

    label = "Ingot"
    key = "ingot"
    module = None

    def _command(self, setting, out):
        command = [ROOT / "build" / "ingot", "train", ROOT / "examples" / "mnist" / "mnist.yaml",
                   "--out", out, "--overwrite", "--data", setting.data, "--threads",
                   str(setting.threads), "--seed", str(setting.seed), "--epochs",
                   str(setting.epochs), "--set", f"data.batch={setting.batch}"]
        if not setting.evaluate:
            command += ["--set", "evaluate=false"]
        return command

    def run(self, setting):
        with tempfile.TemporaryDirectory(prefix="ingot-bench-") as folder:
            out = pathlib.Path(folder) / "run"
            _, seconds, _, peak = run_process(self._command(setting, out))
            summary = json.loads((out / "summary.json").read_text())
        return {"step_microseconds": summary["step_microseconds_median"],
                "epoch_seconds": summary["train_seconds"] / setting.epochs,
                "test_accuracy": summary.get("test_accuracy") if setting.evaluate else None,
                "first_step_seconds": summary["process_start_to_first_step_seconds"],
                "job_seconds": seconds, "peak_bytes": peak}

    def installed_bytes(self):
        """What `cmake --install` of the program lays out, stripped."""
        with tempfile.TemporaryDirectory(prefix="ingot-bench-") as folder:
            run_process(["cmake", "--install", ROOT / "build", "--component", "runtime", "--strip",
                         "--prefix", folder])
            return sum(f.stat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file()), 0


def peers(python):
    tensorflow = ["tensorflow-cpu", "tensorflow"]
    return [
        Peer("PyTorch eager", "pytorch", "eager", ["torch"], python),
        Peer("PyTorch compile", "pytorch", "compile", ["torch"], python),
        Peer("JAX jit per step", "jax", "step", ["jax"], python),
        Peer("JAX epoch in one scan", "jax", "scan", ["jax"], python),
        Peer("TensorFlow tf.function", "tensorflow", "function", tensorflow, python),
        Peer("Keras fit", "tensorflow", "keras", tensorflow, python),
    ]


def start_busy(count, seconds):
    return [subprocess.Popen([sys.executable, HERE / "busy.py", str(seconds)]) for _ in range(count)]


def stop_busy(processes):
    for process in processes:
        process.kill()
        process.wait()
