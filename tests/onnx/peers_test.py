"""Exported models in ONNX Runtime and OpenVINO: every job of examples/zoo is trained for two steps,
exported, and run by Ingot and by those; the outputs differ by at most 1e-5 of the largest.

usage: peers_test.py PROGRAM [JOB...]; exit status 77, which ctest shows as skipped, where neither
onnxruntime nor openvino is installed.
"""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
TOLERANCE = 1e-5
ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
if not PEERS or not importlib.util.find_spec("onnx"):
    print("skipped: onnx and onnxruntime or openvino are not installed")
    sys.exit(SKIPPED)

import numpy as np  # noqa: E402
import onnx  # noqa: E402


def inputs_of(model, rng):
    """Random arrays for a batch of 3; tokens lie below 8, which every vocabulary has."""
    arrays = {}
    for port in model.graph.input:
        shape = [dim.dim_value or 3 for dim in port.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
        whole = np.issubdtype(dtype, np.integer)
        values = rng.integers(0, 8, shape) if whole else rng.standard_normal(shape)
        arrays[port.name] = values.astype(dtype)
    return arrays


def run_onnxruntime(path, inputs):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs)))


def run_openvino(path, inputs):
    import openvino
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return {output.get_any_name(): array for output, array in compiled(inputs).items()}


def run_ingot(program, path, inputs, folder):
    np.savez(folder / "in.npz", **inputs)
    subprocess.run([program, "run", path, "--inputs", folder / "in.npz", "--outputs",
                    folder / "out.npz"], check=True, capture_output=True)
    with np.load(folder / "out.npz") as arrays:
        return dict(arrays)


def export(program, job, folder):
    run, path = folder / "run", folder / "model.onnx"
    subprocess.run([program, "train", job, "--set", "steps=2", "--set", "epochs=0", "--set",
                    "evaluate=false", "--out", run], check=True, capture_output=True)
    subprocess.run([program, "export", run, "-o", path], check=True, capture_output=True)
    return path


def check(program, job, rng):
    """The faults of one job, one line each."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = export(program, job, folder)
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        faults = []
        if {opset.domain for opset in model.opset_import} != {""}:
            faults.append(f"{job.name}: it uses ops that are not ONNX's own")
        inputs = inputs_of(model, rng)
        own = run_ingot(program, path, inputs, folder)
        for peer in PEERS:
            theirs = {"onnxruntime": run_onnxruntime, "openvino": run_openvino}[peer](path, inputs)
            for output, expected in theirs.items():
                difference = np.abs(own[output] - expected).max() / np.abs(expected).max()
                print(f"{job.stem:20} {peer:12} {output:10} {difference:.1e}")
                if not difference <= TOLERANCE:
                    faults.append(f"{job.name}: {output} differs from {peer}'s by {difference:.1e}")
        return faults


def main():
    program = sys.argv[1]
    jobs = [pathlib.Path(job) for job in sys.argv[2:]] or sorted((ROOT / "examples/zoo").glob("*.yaml"))
    rng = np.random.default_rng(0)
    faults = [fault for job in jobs for fault in check(program, job, rng)]
    print("\n".join(faults) or f"{len(jobs)} models agree with {' and '.join(PEERS)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
