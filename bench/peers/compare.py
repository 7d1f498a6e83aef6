"""Measures Ingot beside PyTorch, JAX and TensorFlow and prints a Markdown table.

Modes on the MNIST job: peers (step time at two batch sizes, epoch, start to first step, whole job,
memory, size), busy (time of an epoch while as many other processes as threads spin), accuracy (mean of several
seeds, Ingot and PyTorch with the same initialisation scheme). The mode networks compares the larger networks of
bench/jobs/ (networks.py). The runs are interleaved, one program after the other, for so many rounds;
every figure is the median of the rounds. The table is also written to bench/results/. The peers live
in a virtual environment of their own, .venv-bench, or where --python says.
"""

import argparse
import datetime
import gzip
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import networks  # noqa: E402
import runners  # noqa: E402
from network_table import NETWORKS  # noqa: E402
from report import megabytes, progress, table, with_ratio  # noqa: E402
from runners import ROOT, Setting  # noqa: E402

VENV = ROOT / ".venv-bench"
PACKAGES = ["torch", "jax[cpu]", "tensorflow-cpu", "numpy"]
IDX_FILES = [f"{split}-{kind}" for split in ("train", "t10k")
             for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
SHORT_EPOCHS = 4  # for step times: the first epoch warms up and is not counted


def environment_python():
    """The Python of the peers' environment, which is made when it is missing."""
    python, stamp = VENV / "bin" / "python", VENV / "peers-installed"
    if not stamp.exists():
        progress(f"installing {', '.join(PACKAGES)} into {VENV.name} (several GB)")
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir",
                        "--disable-pip-version-check", *PACKAGES], check=True)
        stamp.touch()
    return python


def find_data():
    """The folder with MNIST's IDX files, as Ingot finds it."""
    given = os.environ.get("INGOT_DATA")
    shared = ROOT.parent / "shared" / "data" / "mnist"
    cache = pathlib.Path(os.environ.get("INGOT_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ingot")
    for folder in [given and pathlib.Path(given), cache / "mnist", cache / "data" / "mnist", shared]:
        if folder and all((folder / f).exists() or (folder / f"{f}.gz").exists() for f in IDX_FILES):
            return folder
    sys.exit("error: MNIST is not here: run `build/ingot data get mnist`, or set INGOT_DATA to a "
             "folder with the four IDX files")


def unpack(source, target):
    """Uncompressed copies, which every program reads from the page cache."""
    for name in IDX_FILES:
        plain = source / name
        raw = plain.read_bytes() if plain.exists() else gzip.decompress(
            (source / f"{name}.gz").read_bytes())
        (target / name).write_bytes(raw)


def medians(results):
    """The median of every figure over the rounds; None where a run did not have it."""
    return {key: statistics.median(r[key] for r in results) if results[0][key] is not None else None
            for key in results[0]}


def rounds_of(programs, count, settings):
    """{(program key, setting name): medians}; all programs in turn, count times."""
    results, broken = {}, {}
    for round_number in range(count):
        for program in programs:
            if program.key in broken:
                continue
            progress(f"round {round_number + 1} of {count}: {program.label}")
            try:
                for name, setting in settings.items():
                    results.setdefault((program.key, name), []).append(program.run(setting))
            except (runners.Failed, OSError, KeyError, ValueError) as error:
                broken[program.key] = error
                progress(f"{program.label} failed and is left out: {error}")
    return {key: medians(runs) for key, runs in results.items() if key[0] not in broken}


def peers_mode(options, data, programs):
    settings = {
        "job": Setting(data, epochs=options.epochs, threads=options.threads),
        "batch32": Setting(data, batch=32, epochs=SHORT_EPOCHS, threads=options.threads,
                           evaluate=False),
    }
    found = rounds_of(programs, options.rounds, settings)
    own = {name: found.get(("ingot", name), {}) for name in settings}
    sizes = {p.key: p.installed_bytes() for p in programs if (p.key, "job") in found}
    rows = []
    for program in programs:
        if (program.key, "job") not in found:
            continue
        job, small = found[program.key, "job"], found[program.key, "batch32"]
        size, gpu = sizes[program.key]
        reference = {name: {} if program.key == "ingot" else own[name] for name in own}
        cells = [program.label]
        for run, setting, key, form in (
                (job, "job", "step_microseconds", lambda v: f"{v:,.0f} us"),
                (small, "batch32", "step_microseconds", lambda v: f"{v:,.0f} us"),
                (job, "job", "epoch_seconds", lambda v: f"{v * 1e3:,.0f} ms"),
                (job, "job", "first_step_seconds", lambda v: f"{v * 1e3:,.0f} ms"),
                (job, "job", "job_seconds", lambda v: f"{v:.2f} s"),
                (job, "job", "peak_bytes", megabytes)):
            cells.append(with_ratio(run[key], reference[setting].get(key), form(run[key])))
        own_size = sizes["ingot"][0] if "ingot" in sizes and program.key != "ingot" else None
        text = megabytes(size) + (f", {megabytes(gpu)} of it for GPUs" if gpu else "")
        cells.append(with_ratio(size, own_size, text))
        cells.append(f"{job['test_accuracy'] * 100:.2f}%")
        rows.append(cells)
    header = ["", "step, batch 128", "step, batch 32", "epoch", "start to first step",
              f"whole job, {options.epochs} epochs", "peak memory", "installed", "test accuracy"]
    return table(header, rows), {f"{k}/{n}": v for (k, n), v in found.items()}


def busy_mode(options, data, programs):
    # Of whole epochs: a median of steps would not show those that waited for a processor.
    setting = Setting(data, epochs=SHORT_EPOCHS, threads=options.threads, evaluate=False)
    alone, beside = {}, {}
    for round_number in range(options.rounds):
        alone_now = rounds_of(programs, 1, {"job": setting})
        busy = runners.start_busy(options.threads, runners.LONGEST_RUN_S * len(programs))
        try:
            beside_now = rounds_of(programs, 1, {"job": setting})
        finally:
            runners.stop_busy(busy)
        for (key, _), run in alone_now.items():
            alone.setdefault(key, []).append(run["epoch_seconds"])
        for (key, _), run in beside_now.items():
            beside.setdefault(key, []).append(run["epoch_seconds"])
    rows, figures = [], {}
    for program in programs:
        if program.key in alone and program.key in beside:
            a, b = statistics.median(alone[program.key]), statistics.median(beside[program.key])
            figures[program.key] = {"alone": a, "beside": b, "ratio": b / a}
            rows.append([program.label, f"{1e3 * a:,.0f} ms", f"{1e3 * b:,.0f} ms", f"{b / a:.1f}x"])
    header = ["", "epoch alone", f"beside {options.threads} busy processes", "ratio"]
    return table(header, rows), figures


def accuracy_mode(options, data, programs):
    rows, figures = [], {}
    for program in programs:
        if program.key not in ("ingot", "pytorch-eager"):
            continue
        values = []
        for seed in range(options.seeds):
            progress(f"{program.label}, seed {seed}")
            try:
                values.append(program.run(Setting(data, epochs=options.epochs, seed=seed,
                                                  threads=options.threads, init=options.init)))
            except (runners.Failed, OSError, KeyError, ValueError) as error:
                progress(f"{program.label} failed and is left out: {error}")
                break
        else:
            found = [100 * v["test_accuracy"] for v in values]
            figures[program.key] = found
            rows.append([program.label, f"{statistics.mean(found):.2f}%",
                         f"{min(found):.2f}% to {max(found):.2f}%"])
    return table(["", f"mean test accuracy of {options.seeds} seeds", "range"], rows), figures


def at_least_1(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench", usage="./dev bench peers|busy|accuracy|networks [name...] [option...]",
        description=__doc__.splitlines()[0],
        epilog="./dev bench peers compares the MNIST job, ./dev bench networks the larger networks of "
               "bench/jobs/: all of them, or those named. Example: ./dev bench networks cnn gpt "
               "--precision bf16 --only ingot,pytorch --rounds 5")
    parser.add_argument("--mode", choices=["peers", "busy", "accuracy", "networks"], default="peers",
                        help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="name",
                        help=f"networks: which of {', '.join(NETWORKS)} (all)")
    parser.add_argument("--only", help="labels to keep, such as ingot or jax, comma-separated")
    parser.add_argument("--python", type=pathlib.Path, help="an interpreter whose packages are used "
                        "in place of .venv-bench; frameworks that it lacks are left out")
    parser.add_argument("--rounds", type=at_least_1, default=3)
    parser.add_argument("--epochs", type=at_least_1, default=10)
    parser.add_argument("--steps", type=at_least_1,
                        help="networks: timed steps of a run (10 to 100, by network)")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="networks: of both")
    parser.add_argument("--threads", type=at_least_1, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--init", choices=["glorot", "pytorch"], default="glorot")
    options = parser.parse_intermixed_args()
    if options.names and options.mode != "networks":
        parser.error(f"only `networks` takes names, got {' '.join(options.names)}")
    if options.python and not shutil.which(options.python):
        parser.error(f"--python: no program '{options.python}'")
    for name in options.names:
        if name not in NETWORKS:
            parser.error(f"unknown network '{name}': expected one of {', '.join(NETWORKS)}")
    return options


def mnist_mode(options, kept, python):
    programs = [runners.Ingot()] + (runners.peers(python) if python else [])
    programs = [p for p in programs if any(word in p.label.lower() for word in kept)]
    found = runners.available(programs, python)
    for program in programs:
        if program not in found:
            progress(f"left out: {program.label}: {python} has no module {program.module}")
    with tempfile.TemporaryDirectory(prefix="ingot-bench-data-") as folder:
        data = pathlib.Path(folder)
        unpack(find_data(), data)
        mode = {"peers": peers_mode, "busy": busy_mode, "accuracy": accuracy_mode}[options.mode]
        return mode(options, data, found)


def main():
    options = parse_arguments()
    # Every program sees as many CPUs as it may use threads.
    cpus = sorted(os.sched_getaffinity(0))[:options.threads]
    os.sched_setaffinity(0, cpus)
    kept = (options.only or "").lower().split(",")
    python = None if kept == ["ingot"] else options.python or environment_python()
    mode = networks.networks_mode if options.mode == "networks" else mnist_mode
    text, figures = mode(options, kept, python)
    now = datetime.datetime.now().isoformat(timespec="seconds")
    about = (f"{options.mode}: {now}, {len(cpus)} CPUs, {options.threads} threads, "
             f"{platform.machine()}; load before the runs and of other programs is not corrected for")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    name = f"{options.mode}-{now.replace(':', '')}"
    (results / f"{name}.md").write_text(f"{about}\n\n{text}\n")
    (results / f"{name}.json").write_text(json.dumps(figures, indent=1))
    print(text)
    progress(f"written to bench/results/{name}.md")
    return 0 if figures else 1


if __name__ == "__main__":
    sys.exit(main())
