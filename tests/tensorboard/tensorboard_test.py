"""TensorBoard itself opens a run's event files and shows the numbers of metrics.jsonl.

usage: tensorboard_test.py (INGOT_BINARY_DIR names the build folder)

Skipped where the Python that runs it has no tensorboard; python3 -m venv .venv-tensorboard and
.venv-tensorboard/bin/pip install tensorboard make one that the tests find.
"""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("skipped: no tensorboard")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", ROOT / "build"))
PATIENCE_S = 300


def f32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


class TensorBoardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.run_folder = pathlib.Path(cls.temporary.name) / "run"
        train = [BUILD / "ingot", "train", ROOT / "examples" / "mnist" / "mnist.yaml", "--data",
                 ROOT / "tests" / "data" / "mnist", "--out", cls.run_folder, "--epochs", "2", "--quiet",
                 "--set", "data.validation=0.1", "--set", "log.every_steps=4"]
        subprocess.run([str(word) for word in train], check=True, timeout=PATIENCE_S, capture_output=True)
        # A second stretch, which adds an event file.
        subprocess.run([str(BUILD / "ingot"), "train", "--resume", str(cls.run_folder), "--epochs", "3", "--quiet"],
                       check=True, timeout=PATIENCE_S, capture_output=True)
        cls.expected = {}
        for line in (cls.run_folder / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            for name, value in record.items():
                if name not in ("kind", "step", "epoch", "seconds"):
                    cls.expected.setdefault(f"{record['kind']}/{name}", []).append((record["step"], f32(value)))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_the_reader_gives_the_same_scalars(self):
        self.assertGreaterEqual(set(self.expected), {"train/loss", "train/accuracy", "validation/loss", "test/loss"})
        events = EventAccumulator(str(self.run_folder), size_guidance={"scalars": 0})
        events.Reload()
        self.assertEqual(set(events.Tags()["scalars"]), set(self.expected))
        for tag, expected in self.expected.items():
            self.assertEqual([(event.step, event.value) for event in events.Scalars(tag)], expected, tag)

    def test_the_program_shows_them(self):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(self.run_folder.parent), "--host",
                   "127.0.0.1", "--port", "0", "--load_fast", "false", "--reload_interval", "1"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                address = None
                for line in process.stderr:
                    if match := re.search(r"at (http://127\.0\.0\.1:\d+)", line):
                        address = match[1]
                        break
                self.assertIsNotNone(address, "TensorBoard did not start")
                for tag, expected in self.expected.items():
                    query = urllib.parse.urlencode({"run": "run", "tag": tag})
                    self.assertEqual(self.shown(f"{address}/data/plugin/scalars/scalars?{query}", len(expected)),
                                     expected, tag)
            finally:
                process.terminate()

    def shown(self, url, count):
        """[(step, value)] as the page gets them; what it has not read yet is waited for."""
        for _ in range(100):
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                    points = json.load(answer)
            except urllib.error.HTTPError:
                points = []
            if len(points) >= count:
                return [(step, f32(value)) for _, step, value in points]
            time.sleep(0.2)
        self.fail(f"{url} shows {len(points)} points, expected {count}")


if __name__ == "__main__":
    unittest.main()
