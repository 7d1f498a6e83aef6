"""The networks of bench/jobs/*.yaml, described once for every peer; standard library only.

A layer is a tuple of its kind and its options:
  ("conv", filters, kernel, stride, bias)   padded by kernel // 2     ("depthwise", kernel, stride)
  ("batch_norm",) ("layer_norm",)           ("relu",) ("relu6",) ("gelu",)  (the tanh form)
  ("max_pool", size) ("flatten",) ("global_average_pool",)            ("dense", units, bias)
  ("lstm", units)    two biases, as cuDNN, ONNX and PyTorch have them; gives the last state
  ("embedding", vocabulary, width) ("positions",) ("attention", heads)  causal, with biases
  ("residual", layers, shortcut)            layers(x) + shortcut(x); an empty shortcut gives x
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Network:
    name: str
    shape: tuple  # of one sample, channels last
    classes: int
    batch: int
    samples: int
    steps: int  # that are timed where --steps does not say
    goals: dict  # precision: time of the fastest peer / Ingot's that is aimed at
    layers: tuple
    tokens: bool = False  # x holds class numbers, and y is x one place on
    pictures: bool = False  # the order of their axes in memory can be chosen


def convolution(filters, kernel, stride=1):
    return (("conv", filters, kernel, stride, False), ("batch_norm",))


def basic(filters):
    body = convolution(filters, 3) + (("relu",),) + convolution(filters, 3)
    return (("residual", body, ()), ("relu",))


def down(filters):
    body = convolution(filters, 3, 2) + (("relu",),) + convolution(filters, 3)
    return (("residual", body, convolution(filters, 1, 2)), ("relu",))


def narrow(filters, stride=1):
    return (("depthwise", 3, stride), ("batch_norm",), ("relu6",)) + convolution(filters, 1)


def inverted(wide, filters, stride=1):
    return convolution(wide, 1) + (("relu6",),) + narrow(filters, stride)


def inverted_residual(wide, filters):
    return (("residual", inverted(wide, filters), ()),)


def transformer_block(width, heads):
    feed_forward = (("layer_norm",), ("dense", 4 * width, True), ("gelu",), ("dense", width, True))
    return (("residual", (("layer_norm",), ("attention", heads)), ()),
            ("residual", feed_forward, ()))


CNN = (
    ("conv", 32, 3, 1, True), ("relu",), ("conv", 64, 3, 1, True), ("relu",), ("max_pool", 2),
    ("conv", 128, 3, 1, True), ("relu",), ("max_pool", 2), ("flatten",),
    ("dense", 128, True), ("relu",), ("dense", 10, True))

RESNET18 = (
    *convolution(64, 3), ("relu",), *basic(64), *basic(64), *down(128), *basic(128),
    *down(256), *basic(256), *down(512), *basic(512),
    ("global_average_pool",), ("dense", 10, True))

GPT = (
    ("embedding", 256, 384), ("positions",), *(6 * transformer_block(384, 6)),
    ("layer_norm",), ("dense", 256, False))

MLP = (
    ("dense", 1024, True), ("relu",), ("dense", 1024, True), ("relu",), ("dense", 10, True))

MOBILENETV2 = (
    *convolution(32, 3), ("relu6",), *narrow(16), *inverted(96, 24), *inverted_residual(144, 24),
    *inverted(144, 32, 2), *(2 * inverted_residual(192, 32)),
    *inverted(192, 64, 2), *(3 * inverted_residual(384, 64)),
    *inverted(384, 96), *(2 * inverted_residual(576, 96)),
    *inverted(576, 160, 2), *(2 * inverted_residual(960, 160)),
    *inverted(960, 320), *convolution(1280, 1), ("relu6",),
    ("global_average_pool",), ("dense", 10, True))

NETWORKS = {network.name: network for network in (
    Network("cnn", (28, 28, 1), 10, batch=128, samples=1024, steps=30,
            goals={"f32": 1.15, "bf16": 1.1}, layers=CNN, pictures=True),
    Network("resnet18", (32, 32, 3), 10, batch=32, samples=256, steps=10,
            goals={"f32": 1.1, "bf16": 1.15}, layers=RESNET18, pictures=True),
    Network("gpt", (256,), 256, batch=8, samples=256, steps=20,
            goals={"f32": 1.2, "bf16": 1.5}, layers=GPT, tokens=True),
    Network("mlp", (784,), 10, batch=256, samples=4096, steps=100,
            goals={"f32": 1.2, "bf16": 1.25}, layers=MLP),
    Network("mlp4096", (4096,), 4096, batch=32, samples=512, steps=50, goals={"f32": 1.3},
            layers=(("dense", 4096, True), ("relu",), ("dense", 4096, True))),
    Network("lstm", (64, 64), 10, batch=64, samples=1024, steps=100,
            goals={"f32": 1.5, "bf16": 1.5}, layers=(("lstm", 128), ("dense", 10, True))),
    Network("mobilenetv2", (32, 32, 3), 10, batch=32, samples=256, steps=10,
            goals={"f32": 1.5}, layers=MOBILENETV2, pictures=True),
)}
