"""What the peers' programs for larger networks share: arguments, data, weights, timing, the result.

Each trains one network of network_table.py with Adam 0.001 on softmax cross-entropy. The samples are
made up before the first step and lie ready as batches, so that a step is arithmetic only. The last
line on stdout is one JSON object:
  step_milliseconds  the median of the timed steps; the first WARM_UP steps are not timed
  peak_bytes         the process's largest resident set, nothing subtracted
  parameters         trained numbers
  loss               of the last step
"""

import argparse
import json
import math
import resource
import statistics
import time

import numpy as np

from network_table import NETWORKS

WARM_UP = 3
RATE, BETA1, BETA2, EPSILON = 0.001, 0.9, 0.999, 1e-8
NORM_EPSILON, NORM_KEPT = 1e-5, 0.9  # batch norm: the share of the running statistics that stays


def arguments(variants):
    """The arguments; .network is the Network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--variant", choices=variants, default=variants[0])
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.network = NETWORKS[args.network]
    return args


def batches(network):
    """[(x, y)]: x f32, or tokens i32; y class numbers i32."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(network.samples // network.batch):
        if network.tokens:
            text = rng.integers(0, network.classes, (network.batch, network.shape[0] + 1))
            made.append((text[:, :-1].astype(np.int32), text[:, 1:].astype(np.int32)))
        else:
            made.append((rng.standard_normal((network.batch, *network.shape), np.float32),
                         rng.integers(0, network.classes, network.batch).astype(np.int32)))
    return made


class InitialWeights:
    """First values in the order in which the layers use them.

    trained: f32 arrays; state: the running mean and variance of each batch norm. Dense weights are
    [inputs, outputs], kernels [height, width, inputs of a group, outputs].
    """

    def __init__(self, network):
        self.trained, self.state = [], []
        self._rng = np.random.default_rng(1)
        self._walk(network.layers, network.shape)

    def _matrix(self, fan_in, *shape):
        self.trained.append(self._rng.standard_normal(shape, np.float32) * fan_in ** -0.5)

    def _constant(self, value, count):
        self.trained.append(np.full(count, value, np.float32))

    def _walk(self, layers, shape):
        for kind, *options in layers:
            shape = getattr(self, "_" + kind, self._nothing)(shape, *options)
        return shape

    def _nothing(self, shape):
        return shape

    def _conv(self, shape, filters, kernel, stride, bias):
        self._matrix(kernel * kernel * shape[2], kernel, kernel, shape[2], filters)
        if bias:
            self._constant(0, filters)
        return (-(-shape[0] // stride), -(-shape[1] // stride), filters)

    def _depthwise(self, shape, kernel, stride):
        self._matrix(kernel * kernel, kernel, kernel, 1, shape[2])
        return (-(-shape[0] // stride), -(-shape[1] // stride), shape[2])

    def _batch_norm(self, shape):
        self.state += [np.zeros(shape[-1], np.float32), np.ones(shape[-1], np.float32)]
        return self._layer_norm(shape)

    def _layer_norm(self, shape):
        self._constant(1, shape[-1])
        self._constant(0, shape[-1])
        return shape

    def _max_pool(self, shape, size):
        return (shape[0] // size, shape[1] // size, shape[2])

    def _global_average_pool(self, shape):
        return shape[2:]

    def _flatten(self, shape):
        return (math.prod(shape),)

    def _dense(self, shape, units, bias):
        self._matrix(shape[-1], shape[-1], units)
        if bias:
            self._constant(0, units)
        return (*shape[:-1], units)

    def _lstm(self, shape, units):
        self._matrix(shape[1], shape[1], 4 * units)
        self._matrix(units, units, 4 * units)
        self._constant(0, 4 * units)
        self._constant(0, 4 * units)
        return (units,)

    def _embedding(self, shape, vocabulary, width):
        self._matrix(2500, vocabulary, width)  # a deviation of 0.02
        return (*shape, width)

    def _positions(self, shape):
        self._matrix(2500, *shape)
        return shape

    def _attention(self, shape, heads):
        self._dense(shape, 3 * shape[1], True)
        return self._dense(shape, shape[1], True)

    def _residual(self, shape, layers, shortcut):
        end = self._walk(layers, shape)
        self._walk(shortcut, shape)
        return end


def measure(args, peer, parameters, ready, step):
    """Times step(x, y), which gives the loss when all of the step is done, and prints the result."""
    times, loss = [], None
    for i in range(WARM_UP + args.steps):
        x, y = ready[i % len(ready)]
        begin = time.perf_counter()
        loss = float(step(x, y))
        times.append(time.perf_counter() - begin)
    if not math.isfinite(loss):
        raise SystemExit(f"the loss of the last step is {loss}")
    print(json.dumps({
        "peer": peer, "variant": args.variant, "network": args.network.name,
        "precision": args.precision,
        "step_milliseconds": statistics.median(times[WARM_UP:]) * 1e3,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameters": parameters, "loss": loss,
    }), flush=True)
