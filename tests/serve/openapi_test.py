"""Requests made from the description that the server itself serves at /openapi.json, by schemathesis.

What a model takes is not in the description: a request that fits it may still be refused with 400.
"""

import os
import pathlib
import subprocess
import sys

from server import ServerTest, add_model, main

EXAMPLES = os.environ.get("INGOT_OPENAPI_EXAMPLES", "10")


class Description(ServerTest):
    @classmethod
    def add_models(cls, repository):
        for name in ("add_sub", "identity_bytes"):
            add_model(repository, name, name)

    def test_answers_are_as_described(self):
        program = pathlib.Path(sys.executable).parent / "schemathesis"
        if not program.exists():
            self.skipTest("schemathesis is not installed beside this Python")
        done = subprocess.run(
            [str(program), "run", f"http://{self.server.http}/openapi.json", "--max-examples", EXAMPLES,
             "--workers", "1", "--seed", "1", "--exclude-checks", "positive_data_acceptance"],
            capture_output=True, text=True, timeout=300, check=False, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-2000:])
        self.assertEqual(self.server.get("/v2/health/live")[0], 200)


if __name__ == "__main__":
    main()
