"""Requests made from the description that the server itself serves at /openapi.json, by schemathesis.

What a model takes is not in the description: a request that fits it may still be refused with 400.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from server import MODELS, Server

EXAMPLES = os.environ.get("INGOT_OPENAPI_EXAMPLES", "10")


class Description(unittest.TestCase):
    def test_answers_are_as_described(self):
        program = pathlib.Path(sys.executable).parent / "schemathesis"
        if not program.exists():
            self.skipTest("schemathesis is not installed beside this Python")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("add_sub", "identity_bytes"):
                target = pathlib.Path(folder) / name / "1"
                target.mkdir(parents=True)
                shutil.copy(MODELS / f"{name}.onnx", target / "model.onnx")
            server = Server("--repository", folder)
            done = subprocess.run(
                [str(program), "run", f"http://{server.http}/openapi.json", "--max-examples", EXAMPLES,
                 "--workers", "1", "--seed", "1", "--exclude-checks", "positive_data_acceptance"],
                capture_output=True, text=True, timeout=300, check=False, cwd=folder)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-2000:])
            self.assertEqual(server.get("/v2/health/live")[0], 200)
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=int(os.environ.get("VERBOSITY", "1")), argv=[sys.argv[0], *sys.argv[1:]])
