"""Runs the example jobs and programs and looks at what comes out of them.

usage: examples_test.py (INGOT_BINARY_DIR names the build folder)
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", ROOT / "build"))
MNIST_SLICE = ROOT / "tests" / "data" / "mnist"
PATIENCE_S = 300 * float(os.environ.get("INGOT_TEST_PATIENCE", "1"))


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE_S,
                          stdin=subprocess.DEVNULL, cwd=tempfile.gettempdir(), check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def train(job, *options):
    """summary.json of a run of an example job."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        run(BUILD / "ingot", "train", ROOT / "examples" / job, "--out", out, *options)
        if not (out / "checkpoints" / "final" / "model.safetensors").is_file():
            raise AssertionError("the run left no checkpoints/final/model.safetensors")
        return json.loads((out / "summary.json").read_text())


class JobsTest(unittest.TestCase):
    def test_mnist_on_a_slice(self):
        summary = train("mnist/mnist.yaml", "--data", MNIST_SLICE, "--epochs", "5")
        self.assertGreater(summary["test_accuracy"], 0.8)
        self.assertEqual(summary["parameters"], 784 * 64 + 64 + 64 * 10 + 10)

    def test_linear_regression_reaches_the_noise(self):
        summary = train("linear_regression/linear_regression.yaml")
        # The noise's deviation is 0.1; no model does better than that for long.
        self.assertLess(summary["test_rmse"], 0.13)
        self.assertGreater(summary["test_rmse"], 0.07)
        self.assertEqual(summary["parameters"], 4)

    def test_char_gpt_learns_the_text_and_writes_more(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "run"
            run(BUILD / "ingot", "train", ROOT / "examples" / "char_gpt" / "char_gpt.yaml", "--out", out, "--set",
                "steps=300")
            summary = json.loads((out / "summary.json").read_text())
            # A model that knows nothing needs 8 bits, one that knows the letters' frequencies above 4.
            self.assertLess(summary["test_bits_per_byte"], 2.5)
            text = run(BUILD / "ingot", "generate", out, "--prompt", "The old fox ", "--tokens", "120", "--temperature",
                       "0.5")
            self.assertTrue(text.startswith("The old fox "))
            self.assertEqual(len(text.encode()), len("The old fox ") + 120 + 1)
            words = set((ROOT / "examples" / "char_gpt" / "text.txt").read_text().split())
            said = text.split()[3:-1]
            self.assertGreater(sum(word in words for word in said), 0.5 * len(said), text)

    def test_categories_are_learned(self):
        self.assertGreater(train("categories/categories.yaml")["test_accuracy"], 0.8)

    def test_pictures_from_folders_and_shards(self):
        with tempfile.TemporaryDirectory() as shapes:
            run(sys.executable, ROOT / "examples" / "pictures" / "make.py", shapes)
            summary = train("pictures/pictures.yaml", "--data", shapes)
            self.assertGreater(summary["test_accuracy"], 0.8)
            self.assertIn(summary["slowest_transform"], summary["data_stages"])
            self.assertGreater(train("pictures/shards.yaml", "--data", shapes)["test_accuracy"], 0.8)

    def test_arrays(self):
        with tempfile.TemporaryDirectory() as spirals:
            run(sys.executable, ROOT / "examples" / "arrays" / "make.py", spirals)
            self.assertGreater(train("arrays/arrays.yaml", "--data", spirals)["test_accuracy"], 0.95)

    def test_tabular_beats_the_most_frequent_class(self):
        self.assertGreater(train("tabular/tabular.yaml")["test_accuracy"], 0.8)


def weights_after_two_steps(job, threads):
    """SHA-256 of the weights of a job after two small steps."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        run(BUILD / "ingot", "train", job, "--out", out, "--threads", str(threads), "--set", "steps=2",
            "--set", "data.batch=4", "--set", "data.source.synthetic.samples=8", "--set",
            "data.source.synthetic.test_samples=3")
        return hashlib.sha256((out / "checkpoints" / "final" / "model.safetensors").read_bytes()).hexdigest()


class ZooTest(unittest.TestCase):
    def test_two_steps_have_the_same_bits_on_any_number_of_threads(self):
        jobs = sorted((ROOT / "examples" / "zoo").glob("*.yaml"))
        self.assertGreater(len(jobs), 5)
        for job in jobs:
            with self.subTest(job=job.name):
                self.assertEqual(weights_after_two_steps(job, 1), weights_after_two_steps(job, 3))

    def test_networks_of_the_benchmarks(self):
        parameters = {"gpt": 10942464, "mlp": 1863690, "mlp4096": 33562624, "lstm": 100618, "cnn": 896906}
        for name, count in parameters.items():
            with self.subTest(job=name):
                said = run(BUILD / "ingot", "train", "--explain", "--json", ROOT / "bench" / "jobs" / f"{name}.yaml")
                self.assertEqual(json.loads(said)["parameters"], count)


class CustomOpTest(unittest.TestCase):
    def test_gradient_agrees(self):
        self.assertIn("largest difference from finite differences", run(BUILD / "squared_relu"))


class CppTest(unittest.TestCase):
    def test_trains(self):
        with tempfile.TemporaryDirectory() as folder:
            said = run(BUILD / "mnist_example", pathlib.Path(folder) / "run", MNIST_SLICE)
            self.assertIn("test accuracy", said)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
