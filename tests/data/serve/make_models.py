"""Makes the small ONNX models of the serving tests, beside itself; needs the package onnx."""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

HERE = pathlib.Path(__file__).parent


def save(name, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="ingot-tests")
    onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


def value(name, dtype, *dims):
    return helper.make_tensor_value_info(name, dtype, list(dims))


# The sum and the difference of two rows.
save("add_sub",
     [helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
      helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
     [value("INPUT0", T.FLOAT, "batch", 16), value("INPUT1", T.FLOAT, "batch", 16)],
     [value("OUTPUT0", T.FLOAT, "batch", 16), value("OUTPUT1", T.FLOAT, "batch", 16)])

# Every type of the protocol, handed through.
for dtype, name in [(T.FLOAT, "fp32"), (T.DOUBLE, "fp64"), (T.FLOAT16, "fp16"), (T.BFLOAT16, "bf16"),
                    (T.INT8, "int8"), (T.INT16, "int16"), (T.INT32, "int32"), (T.INT64, "int64"),
                    (T.UINT8, "uint8"), (T.UINT16, "uint16"), (T.UINT32, "uint32"),
                    (T.UINT64, "uint64"), (T.BOOL, "bool"), (T.STRING, "bytes")]:
    save(f"identity_{name}", [helper.make_node("Identity", ["x"], ["y"])],
         [value("x", dtype, "batch", "n")], [value("y", dtype, "batch", "n")])

# A sequence's sum: the state comes in and goes out; where start is 1 it begins anew.
save("accumulate",
     [helper.make_node("Add", ["x", "state"], ["sum"]),
      helper.make_node("Identity", ["sum"], ["state_out"]),
      helper.make_node("Identity", ["sum"], ["y"])],
     [value("x", T.FLOAT, "batch", 1), value("state", T.FLOAT, "batch", 1)],
     [value("y", T.FLOAT, "batch", 1), value("state_out", T.FLOAT, "batch", 1)])

# Twice and half its input.
for factor, name in [(2, "double"), (0.5, "half")]:
    save(name, [helper.make_node("Mul", ["x", "factor"], ["y"])],
         [value("x", T.FLOAT, "batch", 16)], [value("y", T.FLOAT, "batch", 16)],
         [numpy_helper.from_array(np.array(factor, np.float32), "factor")])

# An input with a default: an initializer of the same name. Once of a fixed shape, once a row of a batch.
save("scaled", [helper.make_node("Mul", ["x", "scale"], ["y"])],
     [value("x", T.FLOAT, "n"), value("scale", T.FLOAT, 1)], [value("y", T.FLOAT, "n")],
     [numpy_helper.from_array(np.array([3], np.float32), "scale")])
save("biased", [helper.make_node("Add", ["x", "bias"], ["y"])],
     [value("x", T.FLOAT, "batch", 4), value("bias", T.FLOAT, "batch", 4)], [value("y", T.FLOAT, "batch", 4)],
     [numpy_helper.from_array(np.array([[1, 2, 3, 4]], np.float32), "bias")])

# Requests of any length, one after another in one axis: the sum of each, and all values doubled. `ends` says where each
# ends, from 0.
save("ragged",
     [helper.make_node("CumSum", ["values", "axis"], ["running"]),
      helper.make_node("Concat", ["zero", "running"], ["sums"], axis=0),
      helper.make_node("Gather", ["sums", "ends"], ["at"]),
      helper.make_node("Slice", ["at", "one", "most"], ["upper"]),
      helper.make_node("Slice", ["at", "first", "last"], ["lower"]),
      helper.make_node("Sub", ["upper", "lower"], ["flat"]),
      helper.make_node("Unsqueeze", ["flat", "one"], ["sum"]),
      helper.make_node("Add", ["values", "values"], ["twice"])],
     [value("values", T.FLOAT, "n"), value("ends", T.INT32, "m")],
     [value("sum", T.FLOAT, "batch", 1), value("twice", T.FLOAT, "n")],
     [numpy_helper.from_array(np.array(v, t), name) for name, v, t in [
         ("axis", 0, np.int64), ("zero", [0], np.float32), ("one", [1], np.int64), ("most", [1 << 60], np.int64),
         ("first", [0], np.int64), ("last", [-1], np.int64)]])
