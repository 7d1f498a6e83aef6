"""One worker alone meets a number that is not finite: all end, and it is named."""

import array
import struct

from harness import Distributed, Done

JOB = """
epochs: 3
data: {{source: {{npy: {{train_x: {0}/x.npy, train_y: {0}/y.npy}}}}, batch: 64}}
model: {{layers: [{{dense: 16}}, relu, {{dense: 3}}]}}
logical_shards: 8
"""


def write_npy(path, shape, code, values):
    header = f"{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values.tobytes())


class NotFinite(Distributed):
    def test_the_rank_is_named(self):
        samples = array.array("f", [number % 7 / 7 for number in range(64 * 8)])
        samples[40 * 8] = float("nan")
        write_npy(self.folder / "x.npy", (64, 8), "<f4", samples)
        write_npy(self.folder / "y.npy", (64,), "<i8", array.array("q", [i % 3 for i in range(64)]))
        job = self.folder / "job.yaml"
        job.write_text(JOB.format(self.folder))
        for name, options, expected in (("plain", (), "for sample 40 of the training data"),
                                        ("sharded", ("--set", "train.shard_optimizer=true"), "is not finite")):
            done = Done("launch", "-n", 4, job, "--out", self.folder / name, *options)
            self.assertEqual(done.status, 1, done.err)
            self.assertIn("numerically unstable at step 1", done.err)
            self.assertRegex(done.err, r"on rank [0-3] \(")
            self.assertIn(expected, done.err)
