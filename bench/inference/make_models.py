"""Writes the ONNX models that inference is measured on, with random weights, by the onnx package alone.

usage: make_models.py FOLDER [NAME...]

mlp             784-64-10
cnn             1-32-64-128, 3x3, 28x28, ten classes
resnet18, resnet50, mobilenetv2   224x224, a thousand classes
encoder         12 layers of 768, 12 heads, sequences of 128, as PyTorch exports BERT
decoder         a step of GPT: 6 layers of 384, 6 heads, one token and a cache of keys and values
"""

import math
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Model:
    """Nodes and weights of a graph; every method gives the name of its result."""

    def __init__(self, name):
        self.name, self.nodes, self.weights, self.inputs, self.outputs = name, [], [], [], []
        self.random = np.random.default_rng(1)

    def input(self, name, dims, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def output(self, value, dims):
        self.outputs.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, dims))

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def normal(self, *shape, scale):
        return self.constant(self.random.standard_normal(shape).astype(np.float32) * np.float32(scale))

    def op(self, kind, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, f"{kind}_{len(self.nodes)}",
                                           **attributes))
        return names[0] if outputs == 1 else names

    def dense(self, x, inputs, outputs):
        return self.op("Gemm", x, self.normal(outputs, inputs, scale=1 / math.sqrt(inputs)),
                       self.normal(outputs, scale=0.1), transB=1)

    def linear(self, x, inputs, outputs):  # of more than two axes
        product = self.op("MatMul", x, self.normal(inputs, outputs, scale=1 / math.sqrt(inputs)))
        return self.op("Add", product, self.normal(outputs, scale=0.1))

    def conv(self, x, inputs, outputs, kernel, stride=1, groups=1):
        fan = inputs // groups * kernel * kernel
        return self.op("Conv", x, self.normal(outputs, inputs // groups, kernel, kernel,
                                              scale=math.sqrt(2 / fan)),
                       self.normal(outputs, scale=0.1), kernel_shape=[kernel] * 2,
                       strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups)

    def norm(self, x, size):
        return self.op("LayerNormalization", x, self.constant(np.ones(size, np.float32)),
                       self.normal(size, scale=0.1), axis=-1, epsilon=1e-5)

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def number(self, value):
        return self.constant(np.float32(value))

    def save(self, folder):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, pathlib.Path(folder) / f"{self.name}.onnx")


def mlp():
    m = Model("mlp")
    x = m.input("x", ["batch", 784])
    m.output(m.dense(m.op("Relu", m.dense(x, 784, 64)), 64, 10), ["batch", 10])
    return m


def cnn():
    m = Model("cnn")
    x = m.input("x", ["batch", 1, 28, 28])
    channels = 1
    for wide in (32, 64, 128):
        x = m.op("Relu", m.conv(x, channels, wide, 3))
        if wide < 128:
            x = m.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        channels = wide
    x = m.op("Flatten", m.op("GlobalAveragePool", x))
    m.output(m.dense(x, 128, 10), ["batch", 10])
    return m


def resnet(name, blocks, bottleneck):
    m = Model(name)
    x = m.op("Relu", m.conv(m.input("x", ["batch", 3, 224, 224]), 3, 64, 7, 2))
    x = m.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        wide = width * 4 if bottleneck else width
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            short = x if stride == 1 and channels == wide else m.conv(x, channels, wide, 1, stride)
            if bottleneck:
                y = m.op("Relu", m.conv(x, channels, width, 1))
                y = m.op("Relu", m.conv(y, width, width, 3, stride))
                y = m.conv(y, width, wide, 1)
            else:
                y = m.op("Relu", m.conv(x, channels, width, 3, stride))
                y = m.conv(y, width, width, 3)
            x = m.op("Relu", m.op("Add", y, short))
            channels = wide
    x = m.op("Flatten", m.op("GlobalAveragePool", x))
    m.output(m.dense(x, channels, 1000), ["batch", 1000])
    return m


def mobilenetv2():
    m = Model("mobilenetv2")
    clip = lambda x: m.op("Clip", x, m.number(0), m.number(6))
    x = clip(m.conv(m.input("x", ["batch", 3, 224, 224]), 3, 32, 3, 2))
    channels = 32
    for factor, outputs, count, first in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                          (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            stride, hidden = first if i == 0 else 1, channels * factor
            y = x if factor == 1 else clip(m.conv(x, channels, hidden, 1))
            y = clip(m.conv(y, hidden, hidden, 3, stride, hidden))
            y = m.conv(y, hidden, outputs, 1)
            x = m.op("Add", x, y) if stride == 1 and channels == outputs else y
            channels = outputs
    x = clip(m.conv(x, channels, 1280, 1))
    x = m.op("Flatten", m.op("GlobalAveragePool", x))
    m.output(m.dense(x, 1280, 1000), ["batch", 1000])
    return m


def attention(m, x, size, heads, length, past=None):
    """Self-attention; with `past`, the names of cached keys and values, also the new ones."""
    split = lambda v: m.op("Transpose", m.op("Reshape", v, m.ints(0, length, heads, size // heads)),
                           perm=[0, 2, 1, 3])
    q, k, v = (split(m.linear(x, size, size)) for _ in range(3))
    if past is not None:
        k, v = m.op("Concat", past[0], k, axis=2), m.op("Concat", past[1], v, axis=2)
    scores = m.op("MatMul", q, m.op("Transpose", k, perm=[0, 1, 3, 2]))
    scores = m.op("Div", scores, m.number(math.sqrt(size // heads)))
    y = m.op("MatMul", m.op("Softmax", scores, axis=-1), v)
    y = m.op("Reshape", m.op("Transpose", y, perm=[0, 2, 1, 3]), m.ints(0, length, size))
    return m.linear(y, size, size), k, v


def gelu(m, x):
    gate = m.op("Add", m.op("Erf", m.op("Div", x, m.number(math.sqrt(2)))), m.number(1))
    return m.op("Mul", m.op("Mul", x, gate), m.number(0.5))


def encoder():
    m = Model("encoder")
    size, heads, length = 768, 12, 128
    x = m.op("Gather", m.normal(8192, size, scale=1), m.input("ids", ["batch", length], TensorProto.INT64))
    x = m.norm(m.op("Add", x, m.normal(1, length, size, scale=0.1)), size)
    for _ in range(12):
        x = m.norm(m.op("Add", x, attention(m, x, size, heads, length)[0]), size)
        y = m.linear(gelu(m, m.linear(x, size, 4 * size)), 4 * size, size)
        x = m.norm(m.op("Add", x, y), size)
    m.output(x, ["batch", length, size])
    return m


def decoder():
    m = Model("decoder")
    size, heads, layers = 384, 6, 6
    x = m.op("Gather", m.normal(8192, size, scale=1), m.input("ids", ["batch", 1], TensorProto.INT64))
    caches = []
    for layer in range(layers):
        past = [m.input(f"{what}{layer}", ["batch", heads, "past", size // heads])
                for what in ("key", "value")]
        y, k, v = attention(m, m.norm(x, size), size, heads, 1, past)
        caches += [k, v]
        x = m.op("Add", x, y)
        x = m.op("Add", x, m.linear(gelu(m, m.linear(m.norm(x, size), size, 4 * size)), 4 * size, size))
    m.output(m.op("MatMul", m.norm(x, size), m.normal(size, 8192, scale=0.05)), ["batch", 1, 8192])
    for cache in caches:
        m.output(cache, ["batch", heads, "total", size // heads])
    return m


MODELS = {
    "mlp": mlp, "cnn": cnn, "resnet18": lambda: resnet("resnet18", (2, 2, 2, 2), False),
    "resnet50": lambda: resnet("resnet50", (3, 4, 6, 3), True), "mobilenetv2": mobilenetv2,
    "encoder": encoder, "decoder": decoder,
}


def main(folder, *names):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or MODELS:
        MODELS[name]().save(folder)
        print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
