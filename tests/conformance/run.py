"""Runs the backend tests of the onnx package against Ingot and writes docs/onnx-support.md.

    run.py PROGRAM [--only PATTERN] [--verbose]

PROGRAM is ingot_conformance. Fails (exit status 1) where a suite passes fewer tests than the page
says, and leaves the page alone then. With --only the page is not written; failures are listed.
"""

import argparse
import collections
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test import loader

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "onnx-support.md"
SUITES = ["node", "simple", "pytorch-operator", "pytorch-converted"]
PACKED = {TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4,
          TensorProto.UINT2: 2, TensorProto.INT2: 2}
# Tests whose values are random: types and shapes are compared.
RANDOM_OPS = {"Bernoulli", "RandomUniform", "RandomUniformLike", "RandomNormal",
              "RandomNormalLike", "Multinomial"}


class Case:
    """A test: a model and its data sets, with values as Datum has them."""

    def __init__(self, suite, test):
        self.name = test.name
        if test.model is not None:
            self.model = test.model
        else:
            self.model = onnx.load(str(pathlib.Path(test.model_dir) / "model.onnx"))
        self.ops = {(n.domain or "ai.onnx", n.op_type) for n in self.model.graph.node}
        domains = {domain for domain, _ in self.ops}
        self.suite = suite
        if suite == "node":
            other = sorted(domains - {"ai.onnx"})
            self.suite = f"node, {other[0] if other else 'ai.onnx'}"
        self.rtol, self.atol = test.rtol, test.atol
        self.random = any(op in RANDOM_OPS for _, op in self.ops) or (
            "training_dropout" in self.name and "zero_ratio" not in self.name)
        self.sets = list(self.data_sets(test))
        self.failure = None

    def data_sets(self, test):
        graph = self.model.graph
        if test.data_sets:
            for inputs, outputs in test.data_sets:
                yield ([value_of(v, i.type) for v, i in zip(inputs, graph.input)],
                       [value_of(v, o.type) for v, o in zip(outputs, graph.output)])
            return
        folders = sorted(pathlib.Path(test.model_dir).glob("test_data_set_*"))
        for folder in folders:
            yield (read_values(folder, "input", graph.input),
                   read_values(folder, "output", graph.output))


class Array:
    """A tensor: ONNX's element type, shape, and one element after another."""

    def __init__(self, dtype, array):
        self.dtype, self.array = dtype, array


def unpacked(proto):
    """A TensorProto as an Array; types of 4 and 2 bits keep their bits in a byte each."""
    dims = list(proto.dims)
    bits = PACKED.get(proto.data_type)
    if bits is None:
        return Array(proto.data_type, numpy_helper.to_array(proto))
    packed = proto.raw_data if proto.HasField("raw_data") else bytes(proto.int32_data)
    count = int(np.prod(dims, dtype=np.int64))
    each = 8 // bits
    codes = [(packed[i // each] >> (i % each * bits)) & ((1 << bits) - 1) for i in range(count)]
    return Array(proto.data_type, np.array(codes, dtype=np.uint8).reshape(dims))


def value_of(value, declared):
    """What a test holds for an input or output: nothing, an Array, or a list of values."""
    if declared.HasField("optional_type"):
        return None if value is None else value_of(value, declared.optional_type.elem_type)
    if declared.HasField("sequence_type"):
        return [value_of(v, declared.sequence_type.elem_type) for v in value]
    if value is None:
        return None
    if isinstance(value, TensorProto):
        return unpacked(value)
    return unpacked(numpy_helper.from_array(np.asarray(value)))


def read_values(folder, kind, infos):
    values = []
    for i, info in enumerate(infos):
        path = folder / f"{kind}_{i}.pb"
        if not path.exists():
            break
        if info.type.HasField("sequence_type"):
            proto = onnx.SequenceProto()
            proto.ParseFromString(path.read_bytes())
            values.append([unpacked(v) for v in proto.tensor_values])
        elif info.type.HasField("optional_type"):
            proto = onnx.OptionalProto()
            proto.ParseFromString(path.read_bytes())
            values.append(value_of(numpy_helper.to_optional(proto), info.type))
        else:
            proto = TensorProto()
            proto.ParseFromString(path.read_bytes())
            values.append(unpacked(proto))
    return values


# ---- the files of ingot_conformance ----

def text(data):
    data = data.encode() if isinstance(data, str) else bytes(data)
    return struct.pack("<Q", len(data)) + data


def encoded(values):
    parts = [struct.pack("<I", len(values))]
    for value in values:
        if value is None:
            parts.append(b"\0")
        elif isinstance(value, list):
            parts.append(b"\2" + encoded(value))
        else:
            array = value.array
            parts.append(b"\1" + struct.pack("<BI", value.dtype, array.ndim) +
                         struct.pack(f"<{array.ndim}q", *array.shape))
            if value.dtype == TensorProto.STRING:
                parts.extend(text(v) for v in array.reshape(-1))
            else:
                parts.append(np.ascontiguousarray(array).tobytes())
    return b"".join(parts)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def numbers(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def take(self, size):
        self.at += size
        if self.at > len(self.data):
            raise EOFError
        return self.data[self.at - size:self.at]

    def text(self):
        return self.take(self.numbers("Q")[0])

    def values(self):
        return [self.value() for _ in range(self.numbers("I")[0])]

    def value(self):
        kind, = self.numbers("B")
        if kind == 0:
            return None
        if kind == 2:
            return self.values()
        dtype, rank = self.numbers("BI")
        shape = self.numbers(f"{rank}q")
        count = int(np.prod(shape, dtype=np.int64))
        if dtype == TensorProto.STRING:
            array = np.array([self.text().decode() for _ in range(count)], dtype=object)
        else:
            kind = np.dtype(np.uint8) if dtype in PACKED else np.dtype(
                onnx.helper.tensor_dtype_to_np_dtype(dtype))
            array = np.frombuffer(self.take(count * kind.itemsize), dtype=kind)
        return Array(dtype, array.reshape(shape))


def run_cases(program, cases, timeout=600):
    """Fills in each case's outputs or failure."""
    with tempfile.TemporaryDirectory() as folder:
        given, results = pathlib.Path(folder) / "cases", pathlib.Path(folder) / "results"
        with given.open("wb") as file:
            for case in cases:
                file.write(text(case.name) + text(case.model.SerializeToString()) +
                           struct.pack("<I", len(case.sets)))
                for inputs, _ in case.sets:
                    file.write(encoded(inputs))
        first = 0
        results.write_bytes(b"")
        while first < len(cases):
            before = first
            try:
                done = subprocess.run([program, given, results, str(first)], timeout=timeout,
                                      capture_output=True, check=False)
                how = f"the program ended with {done.returncode}: {done.stderr.decode()[-300:]}"
            except subprocess.TimeoutExpired:
                how = "it did not end"
            reader = Reader(results.read_bytes())
            whole = 0
            while reader.at < len(reader.data):
                try:
                    index, = reader.numbers("I")
                    error = reader.text().decode(errors="replace")
                    outputs = [reader.values() for _ in range(reader.numbers("I")[0])]
                except (EOFError, struct.error, ValueError):
                    break
                whole = reader.at
                cases[index].failure = error or None
                cases[index].outputs = outputs
                first = max(first, index + 1)
            if first < len(cases):
                cases[first].failure = how
                cases[first].outputs = []
                results.write_bytes(reader.data[:whole])
                first += 1
            if first == before:
                raise RuntimeError(how)


# ---- comparison ----

def numbers_of(value):
    array = value.array
    if value.dtype in PACKED or array.dtype.kind not in "fiub":
        return array if value.dtype in PACKED else array.astype(np.float64)
    return array


def difference(got, wanted, case):
    """Why two values differ, or None. As onnx.backend.test.runner compares them."""
    if isinstance(wanted, list):
        if not isinstance(got, list) or len(got) != len(wanted):
            return "another sequence"
        return next((d for d in (difference(g, w, case) for g, w in zip(got, wanted)) if d), None)
    if wanted is None or got is None:
        return None if wanted is got else "nothing where a value is expected, or the reverse"
    if isinstance(got, list):
        return "a sequence instead of a tensor"
    if got.dtype != wanted.dtype:
        return (f"type {TensorProto.DataType.Name(got.dtype)}, expected "
                f"{TensorProto.DataType.Name(wanted.dtype)}")
    if got.array.shape != wanted.array.shape:
        return f"shape {got.array.shape}, expected {wanted.array.shape}"
    if case.random:
        return None
    if wanted.dtype == TensorProto.STRING:
        texts = [v.decode() if isinstance(v, bytes) else v for v in wanted.array.reshape(-1)]
        return None if texts == list(got.array.reshape(-1)) else "other strings"
    rtol = max(case.rtol, 2 ** -6) if wanted.dtype == TensorProto.BFLOAT16 else case.rtol
    a, b = numbers_of(got), numbers_of(wanted)
    try:
        np.testing.assert_allclose(a, b, rtol=rtol, atol=case.atol)
    except AssertionError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return "; ".join(lines[1:4])
    return None


def judge(case):
    if case.failure:
        return
    for (_, wanted), got in zip(case.sets, case.outputs):
        for i, (g, w) in enumerate(zip(got, wanted)):
            reason = difference(g, w, case)
            if reason:
                case.failure = f"output {i}: {reason}"
                return
        if len(got) != len(wanted):
            case.failure = f"{len(got)} outputs, expected {len(wanted)}"


# ---- the page ----

def recorded():
    """Suite -> tests that pass, as the page says."""
    if not PAGE.exists():
        return {}
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \| \d+ \| [\d.]+% \|$", PAGE.read_text(), re.M)
    return {suite: int(passed) for suite, passed in rows}


def own_op(case):
    """The op that a node test is about: of an expanded function, its name says which."""
    nodes = case.model.graph.node
    return (nodes[0].domain or "ai.onnx", nodes[0].op_type) if len(nodes) == 1 else None


def page(cases, counts):
    newest = {}
    for schema in onnx.defs.get_all_schemas():
        domain = schema.domain or "ai.onnx"
        if domain in ("ai.onnx", "ai.onnx.preview.training"):
            newest[domain, schema.name] = schema.since_version
    tests = collections.defaultdict(lambda: [0, 0])
    for case in cases:
        op = own_op(case)
        if op in newest:
            tests[op][0] += case.failure is None
            tests[op][1] += 1
    lines = ["# ONNX support", "",
             f"Written by `./dev conformance` from a run of the backend tests of onnx {onnx.__version__} "
             f"(opset {onnx.defs.onnx_opset_version()}).", "",
             "A test passes where Ingot loads its model and every output has the type and shape that "
             "the suite gives, and its values within the suite's own tolerances. "
             f"{sum(c.random for c in cases)} tests of random numbers are compared by type and shape "
             "alone.", "",
             "| suite | passed | tests | share |", "| --- | --- | --- | --- |"]
    for suite in sorted(counts):
        passed, total = counts[suite]
        lines.append(f"| {suite} | {passed} | {total} | {100 * passed / total:.1f}% |")
    lines += ["", "## Ops", "",
              "The version is the newest of the op. The tests are those of the op by itself; the "
              "suites hold others in which it is one of several.", "",
              "| op | domain | version | tests passed | |", "| --- | --- | --- | --- | --- |"]
    for domain, name in sorted(newest, key=lambda op: (op[0], op[1])):
        passed, total = tests[domain, name]
        state = "no test of its own" if total == 0 else "supported" if passed == total else (
            "not supported" if passed == 0 else "in part")
        lines.append(f"| {name} | {domain} | {newest[domain, name]} | {passed} of {total} | {state} |")
    failures = [case for case in cases if case.failure]
    lines += ["", "## Tests that fail", ""]
    for case in sorted(failures, key=lambda c: (c.suite, c.name)):
        reason = case.failure.split("\n")[0].replace("|", "\\|")[:160]
        lines.append(f"- `{case.name}` ({case.suite}): {reason}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--only", help="a pattern that the names of tests must match")
    parser.add_argument("--verbose", action="store_true", help="list every failure")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = []
    for suite in SUITES:
        for test in loader.load_model_tests(kind=suite):
            if options.only and not re.search(options.only, test.name):
                continue
            cases.append(Case(suite, test))
    run_cases(options.program, cases)
    counts = collections.defaultdict(lambda: [0, 0])
    for case in cases:
        judge(case)
        counts[case.suite][0] += case.failure is None
        counts[case.suite][1] += 1
    if options.only or options.verbose:
        for case in cases:
            if case.failure:
                print(f"{case.name}: {case.failure}")
    for suite, (passed, total) in sorted(counts.items()):
        print(f"{suite}: {passed} of {total} tests pass ({100 * passed / total:.1f}%)")
    if options.only:
        return 0
    before = recorded()
    lower = {s: n for s, n in before.items() if counts.get(s, [0, 0])[0] < n}
    for suite, number in lower.items():
        print(f"error: {suite} passed {number} tests before", file=sys.stderr)
    if lower:
        return 1
    PAGE.write_text(page(cases, counts))
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
