"""What the tests of training with several processes share: starting programs, and what runs leave.

What is compared is the SHA-256 of the final weights and what the ledger of samples says; times are
printed, and tested nowhere.
"""

import collections
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", ROOT / "build"))
INGOT = BUILD / "ingot"
MNIST = ROOT / "tests" / "data" / "mnist"
MLP = ROOT / "examples" / "mnist" / "mnist.yaml"
JOBS = ROOT / "tests" / "distributed" / "jobs"
PATIENCE_S = 120 * float(os.environ.get("INGOT_TEST_PATIENCE", "1"))
PATIENT = {"INGOT_SILENCE_SECONDS": "30"}  # nobody is lost on a busy machine


def weights(run):
    model = pathlib.Path(run) / "checkpoints" / "final" / "model.safetensors"
    return hashlib.sha256(model.read_bytes()).hexdigest()


def summary(run):
    return json.loads((pathlib.Path(run) / "summary.json").read_text())


def validations(run):
    """The records of validation, without times."""
    records = [json.loads(line) for line in (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        del record["seconds"]
    return [record for record in records if record["kind"] == "validation"]


def start(*arguments, env=None, under=()):
    """`under`: a command that runs it."""
    environment = dict(os.environ, **(env or {}))
    return subprocess.Popen([str(word) for word in (*under, INGOT, *arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                            cwd=tempfile.gettempdir(), start_new_session=True)


class Done:
    """Exit status and output of a program that has ended."""

    def __init__(self, *arguments, env=None):
        process = start(*arguments, env=env)
        self.out, self.err = finish(process, arguments)
        self.status = process.returncode


def finish(process, arguments):
    """Its output; where it hangs, it and its workers are ended."""
    try:
        return process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        words = [str(word) for word in arguments]
        if "--out" in words:
            end_all(words[words.index("--out") + 1])
        process.kill()
        out, err = process.communicate(timeout=10)
        raise AssertionError(f"{words} hung: {err[-2000:]}") from None


def end_all(run):
    for pid in pids(run).values():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def pids(run):
    """{"supervisor": pid, 0: pid, ...} as the run says."""
    found = {}
    try:
        for line in (pathlib.Path(run) / "pids").read_text().splitlines():
            words = line.split()
            if words[0] == "supervisor":
                found["supervisor"] = int(words[1])
            else:
                found[int(words[1])] = int(words[2])
    except FileNotFoundError:
        pass
    return found


def running(words):
    """Numbers of the processes whose command line holds the words."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdigit() and words in line:
            found.append(int(entry.name))
    return found


def step_of(run):
    """The last step that the ledger says was done; -1 before the first."""
    try:
        with open(pathlib.Path(run) / "samples.jsonl", "rb") as file:
            # The ledger of a long run is large: its end is enough.
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            lines = file.read().splitlines()
        return json.loads(lines[-1])["step"] if lines else -1
    except (FileNotFoundError, ValueError):
        return -1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(**values):
    """Options that set keys of a job."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


class Distributed(unittest.TestCase):
    def setUp(self):
        if not (BUILD / "libingot_transport_gloo.so").exists():
            self.skipTest("built without Gloo (libgloo-dev)")
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)
        self.trained_alone = 0

    def train(self, name, job, *options):
        run = self.folder / name
        done = Done("train", job, "--data", MNIST, "--out", run, "--quiet", *options)
        self.assertEqual(done.status, 0, done.err)
        return run

    def alone(self, job, *options):
        """The weights of one process."""
        self.trained_alone += 1
        return weights(self.train(f"alone-{self.trained_alone}", job, *options))

    def launch(self, name, workers, job, *options):
        run = self.folder / name
        done = Done("launch", "-n", workers, job, "--data", MNIST, "--out", run, *options)
        self.assertEqual(done.status, 0, done.err)
        return run

    def ledger(self, run):
        """Its lines: every step once, in order."""
        lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
        # The difference of two lists of many thousands would be drawn for hours.
        self.assertTrue(all(line["step"] == at for at, line in enumerate(lines)), "steps are missing, or there twice")
        return lines

    def check_ledger(self, run, samples_per_epoch):
        """Every step once, in order; every sample of an epoch once."""
        lines = self.ledger(run)
        used = collections.defaultdict(list)
        for line in lines:
            used[line["epoch"]] += line["samples"]
            self.assertEqual(sum(count for _, count in line["ranks"]), len(line["samples"]))
        for epoch, samples in used.items():
            self.assertEqual(len(samples), samples_per_epoch, f"epoch {epoch}")
            self.assertEqual(len(set(samples)), samples_per_epoch, f"epoch {epoch}")
        return lines

    def wait_for(self, condition, *processes, seconds=PATIENCE_S, every=0.002, otherwise="did not come to pass"):
        """None of the processes may end before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return
            for process in processes:
                if process.poll() is not None:
                    self.fail(f"it has ended too early: {process.communicate()[1][-3000:]}")
            time.sleep(every)
        self.fail(otherwise)
