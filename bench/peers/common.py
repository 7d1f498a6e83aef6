"""What the peers' programs share: arguments, the MNIST arrays, timing, and the result line.

Each peer trains the same job: 784-64-10, ReLU, softmax cross-entropy, Adam 0.001, shuffled batches,
then the accuracy on the 10,000 test images. Its last line on stdout is one JSON object:
  first_step_at    CLOCK_MONOTONIC in seconds at the end of the first optimizer step
  step_microseconds  median over the epochs (but the first, which warms up) of epoch time / steps
  epoch_seconds      the same for whole epochs, data assembly included, evaluation not
  test_accuracy      0 to 1, or null where --no-evaluate
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np

CLASSES = 10
HIDDEN = 64
PIXELS = 784


def arguments(variants):
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", choices=variants, default=variants[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="uncompressed IDX files")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", choices=["glorot", "pytorch"], default="glorot")
    parser.add_argument("--no-evaluate", action="store_true")
    return parser.parse_args()


def read_idx(path, header):
    return np.fromfile(path, dtype=np.uint8)[header:]


def load(folder, split):
    """(images u8 [N, 784], labels u8 [N]) of "train" or "t10k"."""
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte", 8)
    return read_idx(folder / f"{split}-images-idx3-ubyte", 16).reshape(len(labels), PIXELS), labels


def initial_weights(args):
    """[(weight f32 [inputs, outputs], bias f32 [outputs])] of both layers."""
    rng = np.random.default_rng(args.seed)
    layers = []
    for inputs, outputs in ((PIXELS, HIDDEN), (HIDDEN, CLASSES)):
        if args.init == "glorot":  # Glorot & Bengio 2010, uniform; zero biases
            limit = (6.0 / (inputs + outputs)) ** 0.5
            bias = np.zeros(outputs)
        else:  # torch.nn.Linear: uniform in +-1/sqrt(inputs), biases too
            limit = inputs ** -0.5
            bias = rng.uniform(-limit, limit, outputs)
        weight = rng.uniform(-limit, limit, (inputs, outputs))
        layers.append((weight.astype(np.float32), bias.astype(np.float32)))
    return layers


class Clock:
    """Notes the first step's end and each epoch's time."""

    def __init__(self):
        self.first_step_at = None
        self.epochs = []  # (seconds, steps)
        self._begin = None

    def step_done(self):
        if self.first_step_at is None:
            self.first_step_at = time.monotonic()

    def begin_epoch(self):
        self._begin = time.perf_counter()

    def end_epoch(self, steps):
        self.step_done()
        self.epochs.append((time.perf_counter() - self._begin, steps))

    def report(self, peer, args, accuracy):
        steady = self.epochs[1:] or self.epochs
        print(json.dumps({
            "peer": peer,
            "variant": args.variant,
            "first_step_at": self.first_step_at,
            "step_microseconds": statistics.median(s / n for s, n in steady) * 1e6,
            "epoch_seconds": statistics.median(s for s, _ in steady),
            "test_accuracy": accuracy,
        }), flush=True)
