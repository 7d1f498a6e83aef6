"""Ingot beside PyTorch on the same training, step by step: `./dev parity`.

For each network both sides begin with the same weights, see the same samples in the same order and use the
same hyper-parameters. Reported and checked:

  f32   the loss of each of the first 100 steps, Ingot's against PyTorch's: within 1e-4, relative
  bf16  the loss at the end of a longer run over 3 seeds: Ingot's bf16 against Ingot's f32, within noise

PyTorch lives in a virtual environment of its own, .venv-parity, which is made when it is missing, or where
--python says. A table of all is printed; results are kept in bench/results/parity.json. Exit status: 0 where
everything is within its tolerance, 1 where something is not, 2 where an argument is wrong.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
NETWORKS = ["mlp", "cnn", "gpt"]
VENV = ROOT / ".venv-parity"
PACKAGES = ["torch", "numpy"]
STEPS = 100
TOLERANCE = 1e-4
SEEDS = (0, 1, 2)
NOISE_STEPS = 200
# The least that counts as noise, relative to the loss: three seeds may lie close together by chance.
LEAST_NOISE = 0.01


def environment_python():
    python, stamp = VENV / "bin" / "python", VENV / "installed"
    if not stamp.exists():
        print(f"installing {', '.join(PACKAGES)} into {VENV.name}", file=sys.stderr, flush=True)
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check",
                        *PACKAGES], check=True)
        stamp.touch()
    return python


def mnist():
    """The folder with MNIST's IDX files: INGOT_DATA, beside the clone, or the slice of the tests."""
    given = os.environ.get("INGOT_DATA")
    for folder in [given and pathlib.Path(given), ROOT.parent / "shared" / "data" / "mnist",
                   ROOT / "tests" / "data" / "mnist"]:
        if folder and list(folder.glob("train-images*")):
            return folder
    sys.exit("error: no MNIST; set INGOT_DATA to a folder with the IDX files")


def ingot(job, out, *options):
    """Runs a job and returns the loss of each step."""
    command = [ROOT / "build" / "ingot", "train", job, "--out", out, "--overwrite", "--quiet", "--set",
               "log.every_steps=1", *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["kind"] == "train"]


def peer(python, network, folder, data, steps):
    """Writes the first weights of a network and returns PyTorch's loss of each step."""
    done = subprocess.run([str(python), str(ROOT / "bench" / "parity" / "pytorch_trace.py"), network, str(data),
                           str(folder / "first.safetensors"), str(steps)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: PyTorch's {network}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(network, data, python, folder):
    job = ROOT / "bench" / "parity" / f"{network}.yaml"
    expected = peer(python, network, folder, data, STEPS)
    seen = ingot(job, folder / "run", "--data", data, "--set", f"steps={STEPS}", "--set", "start_from.file="
                 + str(folder / "first.safetensors"))
    if len(seen) != len(expected):
        sys.exit(f"error: {network}: {len(seen)} losses, expected {len(expected)}")
    errors = [abs(a - b) / abs(b) for a, b in zip(seen, expected)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    return {"network": network, "steps": len(seen), "first_loss": seen[0], "last_loss": seen[-1],
            "pytorch_last_loss": expected[-1], "largest_relative_error": errors[worst], "at_step": worst + 1,
            "ok": errors[worst] <= TOLERANCE and seen[-1] < seen[0]}


def noise(network, data, folder):
    """Mean losses of the last tenth of the steps, for f32 and bf16 over the seeds."""
    job = ROOT / "bench" / "parity" / f"{network}.yaml"
    ends = {}
    for precision in ("f32", "bf16"):
        ends[precision] = []
        for seed in SEEDS:
            losses = ingot(job, folder / "run", "--data", data, "--set", f"steps={NOISE_STEPS}", "--set",
                           f"precision={precision}", "--set", f"seed={seed}")
            ends[precision].append(statistics.mean(losses[-NOISE_STEPS // 10:]))
    f32, bf16 = statistics.mean(ends["f32"]), statistics.mean(ends["bf16"])
    allowed = max(2 * statistics.stdev(ends["f32"]), LEAST_NOISE * f32)
    return {"network": network, "seeds": len(SEEDS), "f32": ends["f32"], "bf16": ends["bf16"],
            "difference": bf16 - f32, "allowed": allowed,
            "ok": math.isfinite(bf16) and abs(bf16 - f32) <= allowed}


def table(results):
    """One line for each network and check."""
    rows = [("network", "check", "steps", "from", "to", "reference", "difference", "allowed", "")]
    for result in results:
        trace, ends = result["f32"], result["bf16"]
        rows.append((trace["network"], "f32, Ingot beside PyTorch", str(trace["steps"]), f"{trace['first_loss']:.4f}",
                     f"{trace['last_loss']:.4f}", f"{trace['pytorch_last_loss']:.4f}",
                     f"{trace['largest_relative_error']:.1e}", f"{TOLERANCE:.1e}", "ok" if trace["ok"] else "FAILED"))
        f32, bf16 = statistics.mean(ends["f32"]), statistics.mean(ends["bf16"])
        rows.append((ends["network"], f"bf16 beside f32, {ends['seeds']} seeds", str(NOISE_STEPS), "",
                     f"{bf16:.4f}", f"{f32:.4f}", f"{abs(ends['difference']):.1e}", f"{ends['allowed']:.1e}",
                     "ok" if ends["ok"] else "FAILED"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if i in (0, 1, 8) else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return "\n".join(lines + ["", "difference: f32, the largest relative one of any step's loss; bf16, of the mean"
                              " losses of the last tenth"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    parser.add_argument("--python", type=pathlib.Path, help="an interpreter that has torch and numpy, in place of "
                        "the one of .venv-parity")
    arguments = parser.parse_args()
    if arguments.python and not shutil.which(arguments.python):
        parser.error(f"--python: no program '{arguments.python}'")
    python, data = arguments.python or environment_python(), mnist()
    results = []
    for network in [arguments.only] if arguments.only else NETWORKS:
        where = ROOT / "examples" / "char_gpt" if network == "gpt" else data
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            print(f"{network}: training in Ingot and PyTorch", file=sys.stderr, flush=True)
            results.append({"f32": compare(network, where, python, folder), "bf16": noise(network, where, folder)})
    print(table(results))
    out = ROOT / "bench" / "results"
    out.mkdir(parents=True, exist_ok=True)
    (out / "parity.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0 if all(part["ok"] for result in results for part in result.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
