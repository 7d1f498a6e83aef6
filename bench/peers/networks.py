"""The mode networks: bench/jobs/*.yaml in Ingot and the same networks in the peers; standard library only.

Every run is a process of its own; the programs take turns for so many rounds, and every figure is the
median of the rounds. A peer whose number of parameters is not Ingot's is no comparison and is left out,
as is one that fails; what was left out is said under the tables.
"""

import json
import pathlib
import statistics
import tempfile

import runners
from network_table import NETWORKS
from report import megabytes, progress, table
from runners import HERE, ROOT

INGOT = ROOT / "build" / "ingot"


def job_file(network):
    return ROOT / "bench" / "jobs" / f"{network.name}.yaml"


def parameters_of(network):
    """What Ingot counts in the job."""
    out, *_ = runners.run_process([INGOT, "train", job_file(network), "--explain", "--json"])
    return json.loads(out)["parameters"]


class Ingot:
    label = "Ingot"
    module = None

    def suits(self, network):
        return True

    def run(self, network, precision, steps, threads):
        with tempfile.TemporaryDirectory(prefix="ingot-bench-") as folder:
            out = pathlib.Path(folder) / "run"
            runners.run_process([
                INGOT, "train", job_file(network), "--out", out, "--overwrite", "--quiet",
                "--threads", str(threads), "--set", f"steps={steps}",
                "--set", f"precision={precision}"])
            summary = json.loads((out / "summary.json").read_text())
        return {"step_milliseconds": summary["step_microseconds_median"] / 1e3,
                "peak_bytes": summary["peak_memory_bytes"], "parameters": summary["parameters"]}


class Peer:
    """networks_SCRIPT.py in a variant."""

    def __init__(self, label, script, variant, python, pictures_only=False):
        self.label = label
        self.module = runners.MODULES[script]
        self._command = [python, HERE / f"networks_{script}.py", "--variant", variant]
        self._pictures_only = pictures_only

    def suits(self, network):
        return network.pictures or not self._pictures_only

    def run(self, network, precision, steps, threads):
        out, *_ = runners.run_process(
            [*self._command, network.name, "--precision", precision, "--steps", str(steps),
             "--threads", str(threads)],
            {**runners.peer_environment(threads), "TORCHINDUCTOR_COMPILE_THREADS": str(threads)})
        result = json.loads(out.splitlines()[-1])
        return {key: result[key] for key in ("step_milliseconds", "peak_bytes", "parameters")}


def peers(python):
    return [
        Peer("PyTorch eager", "pytorch", "eager", python),
        Peer("PyTorch eager channels-last", "pytorch", "eager-last", python, pictures_only=True),
        Peer("PyTorch compile", "pytorch", "compile", python),
        Peer("PyTorch compile channels-last", "pytorch", "compile-last", python,
             pictures_only=True),
        Peer("TensorFlow tf.function", "tensorflow", "function", python),
        Peer("TensorFlow XLA", "tensorflow", "xla", python),
        Peer("JAX jit", "jax", "jit", python),
    ]


def last_line(error):
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def measure(network, programs, options):
    """({label: figures}, [what was left out]); figures are medians, and the rounds' step times."""
    expected, results, left_out = parameters_of(network), {}, {}
    steps = options.steps or network.steps
    for round_number in range(options.rounds):
        for program in programs:
            if program.label in left_out:
                continue
            progress(f"{network.name}, round {round_number + 1} of {options.rounds}: {program.label}")
            try:
                run = program.run(network, options.precision, steps, options.threads)
                if run["parameters"] != expected:
                    raise runners.Failed(f"{run['parameters']:,} parameters, but Ingot's job has "
                                         f"{expected:,}")
                results.setdefault(program.label, []).append(run)
            except (runners.Failed, OSError, KeyError, ValueError) as error:
                left_out[program.label] = f"{program.label} on {network.name}: {last_line(error)}"
                progress(f"left out: {program.label} on {network.name}: {error}")
    figures = {}
    for label, runs in results.items():
        if label not in left_out:
            figures[label] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            figures[label]["rounds"] = [run["step_milliseconds"] for run in runs]
    return figures, list(left_out.values())


def milliseconds(value):
    return f"{value:,.2f} ms" if value < 10 else f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"


def summary_row(network, figures, precision):
    """Ingot beside the fastest and the smallest peer."""
    own = figures.get("Ingot")
    others = {label: f for label, f in figures.items() if label != "Ingot"}
    goal = network.goals.get(precision)
    cells = [network.name, milliseconds(own["step_milliseconds"]) if own else "-"]
    if others:
        fastest = min(others, key=lambda label: others[label]["step_milliseconds"])
        smallest = min(others, key=lambda label: others[label]["peak_bytes"])
        time = others[fastest]["step_milliseconds"]
        cells += [f"{milliseconds(time)} ({fastest})",
                  f"{time / own['step_milliseconds']:.2f}x" if own else "-"]
        least = f"{megabytes(others[smallest]['peak_bytes'])} ({smallest})"
    else:
        cells += ["-", "-"]
        least = "-"
    return cells + [f"{goal}x" if goal else "-", megabytes(own["peak_bytes"]) if own else "-", least]


def detail_rows(network, figures):
    own = figures.get("Ingot")
    rows = []
    for label, run in figures.items():
        cells = [network.name, label]
        for key, form in (("step_milliseconds", milliseconds), ("peak_bytes", megabytes)):
            ratio = f"{run[key] / own[key]:.2f}x" if own and label != "Ingot" else "-"
            cells += [form(run[key]), ratio]
        rows.append(cells)
    return rows


def networks_mode(options, kept, python):
    """(the tables, {network: {label: figures}})."""
    programs = [Ingot()] + (peers(python) if python else [])
    programs = [p for p in programs if any(word in p.label.lower() for word in kept)]
    found = runners.available(programs, python)
    left_out = [f"{p.label}: {python} has no module {p.module}" for p in programs if p not in found]
    summary, details, all_figures = [], [], {}
    for network in [NETWORKS[name] for name in options.names] or NETWORKS.values():
        suited = [program for program in found if program.suits(network)]
        figures, missing = measure(network, suited, options)
        left_out += missing
        if not figures:
            continue
        all_figures[network.name] = figures
        summary.append(summary_row(network, figures, options.precision))
        details += detail_rows(network, figures)
        progress(table(["network", "Ingot", "fastest peer", "ratio", "goal", "", ""], summary[-1:]))
    text = "\n\n".join([
        f"Precision {options.precision}, medians of {options.rounds} interleaved rounds. A ratio is a "
        "peer's figure by Ingot's: above 1 Ingot is faster, or smaller.",
        table(["network", "Ingot, one step", "fastest peer", "ratio", "goal", "Ingot's peak memory",
               "smallest peer"], summary),
        table(["network", "program", "one step", "ratio", "peak memory", "ratio"], details)])
    if left_out:
        text += "\n\nLeft out:\n\n" + "\n".join(f"- {reason}" for reason in left_out)
    return text, all_figures
