"""`ingot client infer`: tensors of every kind from the command line and npy files, and into npz files."""

import subprocess

import ml_dtypes
import numpy as np
from server import BUILD, ServerTest, add_model, main

# The last two lie in the middle between two bfloat16.
NUMBERS = np.array([[1.5, -2, 0.1, 1 + 2**-8, 1 + 3 * 2**-8]], np.float32)


class ClientTest(ServerTest):
    @classmethod
    def add_models(cls, models):
        for name in ("fp32", "fp16", "bf16", "int32", "bytes"):
            add_model(models, name, f"identity_{name}")

    def call(self, model, *options, action="infer"):
        return subprocess.run([str(BUILD / "ingot"), "client", action, model, "--url", self.server.http, *options],
                              capture_output=True, text=True, timeout=60, check=False)

    def printed(self, model, value, *options):
        done = self.call(model, "--input", f"x={value}", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def file(self, value):
        path = self.folder / f"{len(list(self.folder.iterdir()))}.npy"
        np.save(path, value)
        return path

    def written(self, model, value):
        out = self.folder / "out.npz"
        self.printed(model, value, "--outputs", str(out))
        with np.load(out) as arrays:
            self.assertEqual(arrays.files, ["y"])
            return arrays["y"]

    def test_halves_are_printed(self):
        self.assertEqual(self.printed("fp16", self.file(np.float16([[1.5, -2]]))), "y FP16 [1,2]\n[1.5,-2.0]\n")
        self.assertEqual(self.printed("bf16", "[[1.5, -2]]"), "y BF16 [1,2]\n[1.5,-2.0]\n")
        self.assertIn('"data": [\n', self.printed("fp16", "[[0.5]]", "--json"))
        self.assertEqual(self.call("bf16").stdout, "y BF16 [1,1]\n[0.0]\n")
        self.assertIn("0 failed", self.call("fp16", "--input", "x=[[1]]", "--seconds", "0.1", action="perf").stdout)

    def test_numbers_are_rounded_and_written(self):
        for value in (self.file(NUMBERS), NUMBERS.tolist()):
            half, brain, single = (self.written(model, value) for model in ("fp16", "bf16", "fp32"))
            self.assertEqual((half.dtype, brain.dtype, single.dtype), (np.float16, np.float32, np.float32))
            np.testing.assert_array_equal(half, NUMBERS.astype(np.float16))
            np.testing.assert_array_equal(brain, NUMBERS.astype(ml_dtypes.bfloat16).astype(np.float32))
            np.testing.assert_array_equal(single, NUMBERS)

    def test_texts(self):
        texts = np.array([["a", "", "h\u00e9llo"]])
        np.testing.assert_array_equal(self.written("bytes", self.file(texts)), texts)
        self.assertEqual(self.printed("bytes", self.file(texts)), 'y BYTES [1,3]\n["a","","h\u00e9llo"]\n')
        self.assertEqual(self.printed("bytes", '[["b"]]'), 'y BYTES [1,1]\n["b"]\n')

    def test_what_does_not_fit_is_refused(self):
        for model, value, message in (
                ("bytes", self.file(np.array([[b"a"]])), "npy type '|S1' is not supported"),
                ("bytes", self.file(NUMBERS), "holds f32[1, 5], the model takes BYTES"),
                ("int32", self.file(np.array([["a"]])), "the model takes INT32"),
                ("fp32", self.file(np.complex64([[1]])), "expected real numbers"),
                ("fp16", '[["a"]]', 'expected numbers, got "a"'), ("fp16", "1", "expected a JSON array")):
            done = self.call(model, "--input", f"x={value}")
            self.assertNotEqual(done.returncode, 0, message)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    main()
