"""Runs the program as users do: a whole job, stops and kills in the middle of it, and bad input.

usage: end_to_end_test.py (INGOT_BINARY_DIR names the build folder)

What is compared is the SHA-256 of the final weights; nothing depends on how fast the machine is.
"""

import gzip
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", ROOT / "build"))
INGOT = BUILD / "ingot"
MNIST = ROOT / "tests" / "data" / "mnist"
JOB = ROOT / "examples" / "mnist" / "mnist.yaml"
PATIENCE_S = 300 * float(os.environ.get("INGOT_TEST_PATIENCE", "1"))
KILLS = 15


def start(*arguments):
    # A session of its own, so that Ctrl-C at a terminal does not reach it besides ours.
    return subprocess.Popen([str(word) for word in (INGOT, *arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            cwd=tempfile.gettempdir(), start_new_session=True)


class Done:
    """Exit status and output of a program that has ended."""

    def __init__(self, *arguments, env=None):
        done = subprocess.run([str(word) for word in (INGOT, *arguments)], capture_output=True,
                              text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
                              cwd=tempfile.gettempdir(), env=env, check=False)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr


def weights(run):
    model = pathlib.Path(run) / "checkpoints" / "final" / "model.safetensors"
    return hashlib.sha256(model.read_bytes()).hexdigest()


def summary(run):
    return json.loads((pathlib.Path(run) / "summary.json").read_text())


class EndToEnd(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def train(self, name, *options):
        """The hash of the weights of a run on the slice of MNIST."""
        run = self.folder / name
        done = Done("train", JOB, "--data", MNIST, "--out", run, *options)
        self.assertEqual(done.status, 0, done.err)
        return weights(run)

    def assert_fault(self, done, status, pattern):
        self.assertEqual(done.status, status, done.err)
        self.assertRegex(done.err, pattern)
        self.assertRegex(done.err, r"(?m)^error: ")
        for word in ("terminate called", "Aborted", "core dumped", "Traceback", "std::"):
            self.assertNotIn(word, done.err)


class FlowTest(EndToEnd):
    def test_train_eval_predict_resume(self):
        run = self.folder / "run"
        done = Done("train", JOB, "--data", MNIST, "--out", run, "--epochs", "1")
        self.assertEqual(done.status, 0, done.err)
        self.assertIn("test accuracy", done.out)
        first = summary(run)
        self.assertEqual((first["steps"], first["resumed_from_step"]), (16, 0))
        for key in ("test_accuracy", "wall_seconds", "steps", "step_microseconds_median",
                    "logical_shards", "parameters", "peak_memory_bytes"):
            self.assertGreater(first[key], 0, key)

        report = json.loads(Done("eval", run, "--json").out)
        self.assertEqual(report["accuracy"], first["test_accuracy"])

        images = MNIST / "t10k-images-idx3-ubyte.gz"
        one = Done("predict", run, images, "--index", "0")
        self.assertEqual(one.status, 0, one.err)
        self.assertEqual(len(one.out.splitlines()), 12)
        table = self.folder / "all.csv"
        self.assertEqual(Done("predict", run, images, "--out", table).status, 0)
        rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
        with gzip.open(MNIST / "t10k-labels-idx1-ubyte.gz") as labels:
            truth = labels.read()[8:]
        right = sum(int(row[1]) == label for row, label in zip(rows, truth, strict=True))
        self.assertEqual(right / 500, first["test_accuracy"])

        resumed = Done("train", "--resume", run, "--epochs", "3")
        self.assertEqual(resumed.status, 0, resumed.err)
        last = summary(run)
        self.assertEqual((last["steps"], last["resumed_from_step"]), (48, 16))
        self.assertEqual(weights(run), self.train("straight", "--epochs", "3"))

    def test_the_default_folder_is_said(self):
        done = subprocess.run([str(INGOT), "train", str(JOB), "--data", str(MNIST), "--set", "steps=1"],
                              capture_output=True, text=True, cwd=self.folder, timeout=PATIENCE_S,
                              stdin=subprocess.DEVNULL, check=True)
        folder = re.search(r"run directory: (runs/mnist-\d{8}-\d{6})", done.stderr)[1]
        self.assertTrue((self.folder / folder / "summary.json").is_file())

    def test_a_reader_that_goes_away_is_no_crash(self):
        for arguments in (["job"], ["info"], ["--help"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([str(INGOT), *arguments], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=PATIENCE_S, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot write the output", done.stderr)


class SameBitsTest(EndToEnd):
    def test_threads_and_repetition_change_nothing(self):
        for shards in ("8", "auto"):
            found = {threads: self.train(f"{shards}-{threads}", "--epochs", "3", "--threads", threads,
                                         "--set", f"logical_shards={shards}")
                     for threads in (1, 2, 3, 4, 7)}
            found["again"] = self.train(f"{shards}-again", "--epochs", "3", "--threads", 2,
                                        "--set", f"logical_shards={shards}")
            self.assertEqual(len(set(found.values())), 1, found)

    def test_the_seed_changes_them(self):
        self.assertNotEqual(self.train("0", "--epochs", "1"),
                            self.train("1", "--epochs", "1", "--seed", "1"))


class InterruptTest(EndToEnd):
    OPTIONS = ("--epochs", "120", "--threads", "2")

    def interrupt(self, run, number):
        """Starts a run and sends the signal in its fourth epoch. Its output, or None where it was
        over before the signal came."""
        process = start("train", JOB, "--data", MNIST, "--out", run, "--overwrite", *self.OPTIONS)
        said = ""
        with process:
            for line in process.stderr:
                said += line
                if line.startswith("epoch 3 "):
                    process.send_signal(number)
            process.wait(timeout=PATIENCE_S)
        if process.returncode == 0:
            return None
        self.assertEqual(process.returncode, 130, said)
        return said

    def check(self, number):
        run = self.folder / "run"
        said = next(filter(None, (self.interrupt(run, number) for _ in range(20))), None)
        self.assertIsNotNone(said, "no signal came in time")
        self.assertRegex(said, r"interrupted after step [\d,]+; go on with: ingot train --resume " +
                         re.escape(str(run)))
        stopped = summary(run)
        self.assertEqual(stopped["status"], "interrupted")
        self.assertFalse((run / "checkpoints" / "final").exists())
        resumed = Done("train", "--resume", run)
        self.assertEqual(resumed.status, 0, resumed.err)
        self.assertEqual(summary(run)["resumed_from_step"], stopped["steps"])
        self.assertEqual(weights(run), self.train("undisturbed", *self.OPTIONS))

    def test_ctrl_c(self):
        self.check(signal.SIGINT)

    def test_sigterm(self):
        self.check(signal.SIGTERM)


class EarlyInterruptTest(EndToEnd):
    """A signal before there is anything to save ends the program at once. What it waits for is a pipe
    in the place of a file, into which nobody writes."""

    def pipe(self, name):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        os.mkfifo(path)
        return path

    def mnist_pipe(self, name):
        """In a folder with the other files of MNIST."""
        (self.folder / "data").mkdir()
        for file in MNIST.glob("*.gz"):
            if file.stem != name:
                (self.folder / "data" / file.name).symlink_to(file)
        return self.pipe(f"data/{name}")

    def check(self, pipe, *arguments):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(arguments[0], signal=number), start(*arguments) as process:
                try:
                    with open(self.when_read(pipe, process), "wb"):
                        process.send_signal(number)
                        process.wait(timeout=PATIENCE_S)
                        said = process.stderr.read()
                        self.assertEqual(process.returncode, 130, said)
                        self.assertIn("interrupted", said)
                finally:
                    process.kill()

    def when_read(self, pipe, process):
        """The file descriptor to write to it, once the program has opened it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and process.poll() is None:
            try:
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads it yet
                time.sleep(0.005)
        self.fail(f"the pipe was not read: {process.communicate()}")

    def test_train(self):
        run = self.folder / "run"
        pipe = self.mnist_pipe("train-images-idx3-ubyte")
        for options in ((), ("--explain",), ("--overfit-one-batch",)):
            out = () if options else ("--out", run)
            self.check(pipe, "train", JOB, "--data", pipe.parent, *out, *options)
        self.assertFalse(run.exists())

    def test_launch(self):
        run = self.folder / "run"
        pipe = self.mnist_pipe("train-images-idx3-ubyte")
        self.check(pipe, "launch", "-n", "2", JOB, "--data", pipe.parent, "--out", run)
        # What is left of it stands in nobody's way.
        self.train("run", "--set", "steps=1")

    def test_of_a_model(self):
        self.train("run", "--set", "steps=1")
        run = self.folder / "run"
        data = self.mnist_pipe("t10k-images-idx3-ubyte")
        self.check(data, "eval", run, "--data", data.parent)
        self.check(self.pipe("x.npy"), "predict", run, self.folder / "x.npy")
        model = self.pipe("m.onnx")
        self.check(model, "bench", model)
        arrays = self.pipe("x.npz")
        self.check(arrays, "run", model, "--inputs", arrays, "--outputs", self.folder / "y.npz")
        if (BUILD / "ingot-serve").exists():
            models = self.folder / "models"
            (models / "m" / "1").mkdir(parents=True)
            (models / "m" / "1" / "model.onnx").touch()
            self.check(self.pipe("models/m/config.pbtxt"), "serve", "--repository", models, "--http-port", "0",
                       "--grpc-port", "0", "--metrics-port", "0")

    def test_while_compiling(self):
        """At random moments of the start: what is left is a run to go on with, or none."""
        layers = ", ".join(["dense: 64, relu"] * 60)
        job = self.folder / "deep.yaml"
        job.write_text(f"data: {{source: mnist}}\nmodel: {{layers: [flatten, {layers}, dense: 10]}}\nsteps: 3\n")
        begin = time.monotonic()
        options = ("train", job, "--data", MNIST, "--out")
        self.assertEqual(Done(*options, self.folder / "undisturbed").status, 0)
        length = time.monotonic() - begin
        for i in range(8):
            run = self.folder / str(i)
            process = start(*options, run)
            time.sleep(0.01 + length * i / 8)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE_S)
            self.assertIn(process.returncode, (0, 130, -signal.SIGINT), err)  # the last: before main
            again = ("train", "--resume", run) if (run / "job.yaml").exists() else (*options, run)
            done = Done(*again)
            self.assertEqual(done.status, 0, done.err)
            self.assertEqual(weights(run), weights(self.folder / "undisturbed"))


class KillTest(EndToEnd):
    OPTIONS = ("--set", "checkpoint.every_steps=5", "--epochs", "30", "--threads", "2")

    def test_kill_at_random_moments(self):
        begin = time.monotonic()
        undisturbed = self.train("undisturbed", *self.OPTIONS)
        length = time.monotonic() - begin
        seed = random.randrange(2**32)
        generator = random.Random(seed)
        run = self.folder / "run"
        kills = resumes = 0
        while kills < KILLS or not (run / "summary.json").exists():
            if (run / "job.yaml").exists():
                process = start("train", "--resume", run)
                resumes += 1
            else:
                process = start("train", JOB, "--data", MNIST, "--out", run, "--overwrite",
                                *self.OPTIONS)
            try:
                # After the kills that are due, what is left runs to its end.
                process.communicate(timeout=generator.uniform(0, length) / 3 if kills < KILLS
                                    else PATIENCE_S)
                self.assertEqual(process.returncode, 0, f"seed {seed}")
                if kills < KILLS:  # done before its time: once more from the beginning
                    self.assertEqual(weights(run), undisturbed, f"seed {seed}")
                    (run / "job.yaml").unlink()
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
        self.assertGreater(resumes, 0)
        self.assertEqual(weights(run), undisturbed, f"seed {seed}, {kills} kills")


class DamageTest(EndToEnd):
    def test_resume_passes_over_a_damaged_checkpoint(self):
        options = ("--epochs", "4", "--set", "checkpoint.every_steps=8")
        undisturbed = self.train("run", *options)
        run = self.folder / "run"
        newest = max((run / "checkpoints").glob("step-*"))
        file = max(newest.iterdir(), key=lambda path: path.stat().st_size)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        done = Done("train", "--resume", run)
        self.assertEqual(done.status, 0, done.err)
        self.assertRegex(done.err, "warning: .*damaged.*" + newest.name)
        self.assertEqual(weights(run), undisturbed)

    def test_no_whole_checkpoint_is_an_error(self):
        self.train("run", "--epochs", "1")
        run = self.folder / "run"
        for file in (run / "checkpoints").glob("step-*/*"):
            file.write_bytes(file.read_bytes()[:-1])
        self.assert_fault(Done("train", "--resume", run), 2, "checkpoint")


class BadInputTest(EndToEnd):
    def mnist(self, **changes):
        """A folder with the slice, uncompressed, some files with other bytes."""
        folder = self.folder / "data"
        folder.mkdir(exist_ok=True)
        for file in MNIST.glob("*.gz"):
            (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        for name, change in changes.items():
            path = next(folder.glob(name.replace("_", "-") + "-*"))
            path.write_bytes(change(path.read_bytes()))
        return Done("train", JOB, "--data", folder, "--out", self.folder / "run", "--epochs", "1")

    def test_idx_files(self):
        self.assertEqual(self.mnist().status, 0)
        cases = {
            "truncated": (lambda b: b[:-1], r"train-images-idx3-ubyte.*(truncated|bytes)"),
            "magic": (lambda b: b"\1" + b[1:], r"train-images-idx3-ubyte.*"),
            "huge": (lambda b: b[:4] + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1) + b[16:],
                     r"train-images-idx3-ubyte"),
            "empty": (lambda b: b"", r"train-images-idx3-ubyte"),
            "fewer": (lambda b: b[:4] + struct.pack(">I", 1999) + b[8:-784], r"1,?999.*2,?000"),
        }
        for name, (change, pattern) in cases.items():
            with self.subTest(name):
                self.assert_fault(self.mnist(train_images=change), 2, pattern)
        self.assert_fault(self.mnist(train_labels=lambda b: b[:-1] + b"\x0b"), 2, r"1999.*11|11.*1999")

    def test_missing_file_names_it(self):
        (self.folder / "data").mkdir()
        done = Done("train", JOB, "--data", self.folder / "data", "--out", self.folder / "run")
        self.assert_fault(done, 2, "train-images-idx3-ubyte")

    def test_job_files(self):
        layers = "model:\n  layers:\n    - flatten\n    - dense: 10\n"
        cases = {
            "syntax": ("model: {layers: [", r"job\.yaml:\d+:\d+: "),
            "key": (layers + "epoch: 1\n", r"job\.yaml:5:1: epoch.*\n.*did you mean 'epochs'"),
            "type": (layers + "epochs: many\n", r"job\.yaml:5:9: epochs: expected .*'many'"),
            "zero": (layers + "data: {batch: 0}\n", r"job\.yaml:5:15: data\.batch.*0"),
            "large": (layers + "data: {batch: 5000}\n", r"5,000.*2,000"),
            "shapes": ("model: {layers: [flatten, dense: 10, reshape: [3, 4]]}\n",
                       r"reshape.*\n?.*dense 10|dense 10.*\n?.*reshape"),
            "few classes": ("model: {layers: [flatten, dense: 4]}\n", r"dense 4.*10 classes"),
            "not text": ("\0\1\2", r"error"),
        }
        for name, (text, pattern) in cases.items():
            with self.subTest(name):
                job = self.folder / "job.yaml"
                job.write_text(text)
                done = Done("train", job, "--data", MNIST, "--out", self.folder / "run")
                self.assert_fault(done, 2, pattern)
                self.assertFalse((self.folder / "run").exists())

    def test_tables(self):
        cases = {
            "ragged": ("a,b,y\n1,2,3\n1,2\n", r"t\.csv:3"),
            "nan": ("a,b,y\n1,2,3\n1,nan,4\n", r"t\.csv:3: column 'b'"),
            "text": ("a,b,y\n1,2,3\n1,x,4\n", r"t\.csv:3: column 'b'.*'x'"),
            "header only": ("a,b,y\n", r"t\.csv has no rows"),
            "empty": ("", r"t\.csv"),
        }
        job = self.folder / "job.yaml"
        job.write_text("data: {source: {csv: {train: t.csv}}, batch: 1}\nmodel: {layers: [dense: 1]}\n")
        for name, (text, pattern) in cases.items():
            with self.subTest(name):
                (self.folder / "t.csv").write_text(text)
                self.assert_fault(Done("train", job, "--out", self.folder / "run"), 2, pattern)

    def test_no_memory_is_an_ordinary_error(self):
        cache = BUILD / "CMakeCache.txt"
        if cache.exists() and re.search(r"(?m)^INGOT_SANITIZE:\w+=\S", cache.read_text()):
            self.skipTest("the sanitizers need more address space than the limit leaves")
        job = self.folder / "job.yaml"
        job.write_text("model: {layers: [flatten, dense: 2000000000, dense: 10]}\n")
        limited = ["sh", "-c", 'ulimit -v 8000000; exec "$0" "$@"', str(INGOT), "train", str(job), "--data",
                   str(MNIST), "--out", str(self.folder / "run")]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        done.status, done.err = done.returncode, done.stderr
        self.assert_fault(done, 1, "memory|allocat")

    def test_nan_names_step_and_layer(self):
        run = self.folder / "run"
        done = Done("train", JOB, "--data", MNIST, "--out", run, "--set",
                    "optimizer={sgd: {learning_rate: 1e25}}")
        self.assert_fault(done, 1, r"unstable at step \d+.*layer")
        self.assertIn("samples", done.err)

    def test_no_place_for_the_cache(self):
        env = {key: value for key, value in os.environ.items()
               if key not in ("HOME", "XDG_CACHE_HOME", "INGOT_CACHE", "INGOT_DATA")}
        self.assert_fault(Done("data", "get", "mnist", env=env), 2, "INGOT_CACHE")


class OutputTest(EndToEnd):
    def test_unwritable(self):
        (self.folder / "file").write_text("")
        done = Done("train", JOB, "--data", MNIST, "--out", self.folder / "file" / "run")
        self.assert_fault(done, 1, "file/run|file'")
        if os.geteuid() != 0:  # root may write everywhere
            locked = self.folder / "locked"
            locked.mkdir(mode=0o500)
            done = Done("train", JOB, "--data", MNIST, "--out", locked / "run")
            self.assert_fault(done, 1, "[Pp]ermission")

    def test_in_use(self):
        process = start("train", JOB, "--data", MNIST, "--out", self.folder / "run", "--epochs", "100000")
        with process:
            for line in process.stderr:
                if line.startswith("epoch 1 "):
                    break
            done = Done("train", "--resume", self.folder / "run")
            process.kill()
        self.assert_fault(done, 2, "in use by another run")

    def test_full_disk(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to mount a small file system")
        disk = self.folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            self.skipTest("may not mount a file system here")
        self.addCleanup(subprocess.run, ["umount", str(disk)], check=True)
        options = ("--epochs", "6", "--set", "checkpoint.every_steps=8")
        run = disk / "run"
        done = Done("train", JOB, "--data", MNIST, "--out", run, *options)
        self.assert_fault(done, 1, "No space left on device")
        self.assertGreater(len(list((run / "checkpoints").glob("step-*"))), 0)
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        resumed = Done("train", "--resume", run)
        self.assertEqual(resumed.status, 0, resumed.err)
        self.assertGreater(summary(run)["resumed_from_step"], 0)
        self.assertEqual(weights(run), self.train("undisturbed", *options))


class UsageTest(EndToEnd):
    def test_exit_statuses(self):
        self.assertEqual(Done("--version").status, 0)
        self.assert_fault(Done("trian"), 2, "did you mean 'train'")
        self.assert_fault(Done("train", JOB, "--thread", "2"), 2, "did you mean '--threads'")
        self.assert_fault(Done("train", JOB, "--threads", "0"), 2, "--threads: expected")
        self.assert_fault(Done("train", self.folder / "absent.yaml"), 2, "absent.yaml")
        self.assert_fault(Done("eval", self.folder), 2, "no run directory")

    def test_a_run_is_not_overwritten_unasked(self):
        before = self.train("run", "--epochs", "1")
        again = ("train", JOB, "--data", MNIST, "--out", self.folder / "run", "--epochs", "2")
        self.assert_fault(Done(*again), 2, "not empty.*\n.*--resume.*--overwrite")
        self.assertEqual(weights(self.folder / "run"), before)
        self.assertEqual(Done(*again, "--overwrite").status, 0)
        self.assertEqual(summary(self.folder / "run")["steps"], 32)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
