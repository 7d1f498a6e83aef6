"""Loss and bytes on the wire of each way to train together (train.sync).

usage: sync_modes.py [--jobs gpt,cnn] [--modes every_step,local_sgd,diloco] [--workers 2] [--set KEY=VALUE ...]

The GPT is examples/char_gpt, the CNN tests/distributed/jobs/cnn.yaml on the pictures of tests/data/mnist
(or --data), both for more steps. Loss is that of the test data; bytes are what all ranks have sent in
exchanges. Both jobs have so many inner steps that the bytes are more than 50 times fewer; --set changes
that, or anything else, for all modes but every_step.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
INGOT = pathlib.Path(os.environ.get("INGOT_BINARY_DIR", ROOT / "build")) / "ingot"
JOBS = {
    "gpt": [ROOT / "examples/char_gpt/char_gpt.yaml", "--set", "steps=800"],
    "cnn": [ROOT / "tests/distributed/jobs/cnn.yaml", "--set", "steps=2600", "--set", "schedule=cosine"],
}
APART = {
    "gpt": ["train.inner_steps=80", "train.compression=bf16"],
    "cnn": ["train.inner_steps=104"],
}
PATIENCE_S = 1800


def run(job, mode, workers, settings, data):
    with tempfile.TemporaryDirectory() as folder:
        command = [INGOT, "launch", "-n", workers, *JOBS[job], "--out", f"{folder}/run", "--quiet",
                   "--set", f"train.sync={mode}"]
        for setting in settings:
            command += ["--set", setting]
        if job == "cnn":
            command += ["--data", data]
        subprocess.run([str(word) for word in command], check=True, timeout=PATIENCE_S,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(f"{folder}/run/summary.json").read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", default="gpt,cnn")
    parser.add_argument("--modes", default="every_step,local_sgd,diloco")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", default=str(ROOT / "tests/data/mnist"))
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    print(f"{'job':<5} {'train.sync':<12} {'loss':>8} {'against':>8} {'bytes':>13} {'fewer':>8} {'seconds':>8}")
    for job in arguments.jobs.split(","):
        first = None
        for mode in arguments.modes.split(","):
            settings = [] if mode == "every_step" else APART[job] + arguments.settings
            summary = run(job, mode, arguments.workers, settings, arguments.data)
            loss, sent = summary["test_loss"], sum(summary["wire_bytes_per_rank"])
            first = first or (loss, sent)
            print(f"{job:<5} {mode:<12} {loss:>8.4f} {100 * (loss / first[0] - 1):>+7.1f}% {sent:>13,} "
                  f"{first[1] / sent:>7.1f}x {summary['train_seconds']:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
