"""PyTorch's side of `./dev parity`: python pytorch_trace.py NETWORK DATA WEIGHTS STEPS

Makes the network with PyTorch's own first weights (seed 0), writes them to WEIGHTS in safetensors under the
names that the jobs beside this file give them, trains on the samples in the order of the data, and prints the
loss of each step before its update, as one JSON list.
"""

import gzip
import json
import pathlib
import struct
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

torch.manual_seed(0)
torch.set_num_threads(2)


def save(path, tensors):
    """tensors: {name: torch tensor}, f32."""
    header, blobs, at = {}, [], 0
    for name, tensor in sorted(tensors.items()):
        data = tensor.detach().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def idx(folder, name, skip):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            data = path.read_bytes()
            return np.frombuffer(gzip.decompress(data) if path.suffix == ".gz" else data, np.uint8)[skip:]
    sys.exit(f"no {name} in {folder}")


def mnist(data, batch):
    """A function from the number of a step to its pictures [batch, 1, 28, 28] and labels [batch]."""
    labels = torch.from_numpy(idx(data, "train-labels-idx1-ubyte", 8).astype(np.int64))
    images = torch.from_numpy(idx(data, "train-images-idx3-ubyte", 16).astype(np.float32) / 255)
    images = images.reshape(len(labels), 1, 28, 28)

    def sample(step):
        rows = torch.arange(step * batch, (step + 1) * batch) % len(labels)
        return images[rows], labels[rows]

    return sample


def renamed(model, names):
    """The weights of a sequence under the names {place: layer}; a product's weight is [in, out] in Ingot."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        layer, kind = name.split(".")
        tensors[f"{names[layer]}.{kind}"] = tensor.T if tensor.dim() == 2 else tensor
    return tensors


def mlp(data, batch=128):
    """Three dense layers, SGD with momentum."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                          nn.Linear(128, 10))
    tensors = renamed(model, {"1": "hidden_1", "3": "hidden_2", "5": "head"})
    return model, tensors, mnist(data, batch), torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), \
        functional.cross_entropy


def cnn(data, batch=64):
    """The network of examples/mnist/cnn.yaml in small, without its rectifiers, Adam."""
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.GELU("tanh"), nn.Conv2d(16, 32, 3), nn.GELU("tanh"), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Linear(32 * 12 * 12, 64), nn.GELU("tanh"), nn.Linear(64, 10))
    tensors = renamed(model, {"0": "conv_1", "2": "conv_2", "6": "hidden", "8": "head"})
    return model, tensors, mnist(data, batch), torch.optim.Adam(model.parameters(), lr=0.0005), \
        functional.cross_entropy


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm_1(x)).chunk(3, 2))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, length, width, heads, blocks):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(256, width), nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt(data, batch=8, length=64, share=0.1):
    """A character-level decoder, AdamW with clipping."""
    text = np.frombuffer((data / "text.txt").read_bytes(), np.uint8).astype(np.int64)
    train = torch.from_numpy(text[:len(text) - int(len(text) * share)])
    windows = (len(train) - 1) // length
    model = Gpt(length, 64, 4, 2)
    parts = {"norm_1": "norm_1", "norm_2": "norm_2", "qkv": "attention.qkv", "output": "attention.output",
             "up": "feed_forward.up", "down": "feed_forward.down"}
    tensors = {"tokens.weight": model.tokens.weight, "positions.weight": model.positions}
    for i, block in enumerate(model.blocks):
        for name, tensor in block.state_dict().items():
            part, kind = name.split(".")
            kind = "scale" if part.startswith("norm") and kind == "weight" else kind
            tensors[f"block_{i}.{parts[part]}.{kind}"] = tensor.T if tensor.dim() == 2 else tensor
    tensors |= {"norm.scale": model.norm.weight, "norm.bias": model.norm.bias, "head.weight": model.head.weight.T}

    def sample(step):
        starts = [(step * batch + i) % windows * length for i in range(batch)]
        return (torch.stack([train[s:s + length] for s in starts]),
                torch.stack([train[s + 1:s + length + 1] for s in starts]))

    return model, tensors, sample, torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.01), \
        lambda y, t: functional.cross_entropy(y.flatten(0, 1), t.flatten())


network, data, weights, steps = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
model, tensors, sample, optimizer, loss_of = {"mlp": mlp, "cnn": cnn, "gpt": gpt}[network](data)
save(weights, tensors)
losses = []
for step in range(steps):
    x, y = sample(step)
    optimizer.zero_grad()
    loss = loss_of(model(x), y)
    loss.backward()
    if network == "gpt":
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())
print(json.dumps(losses))
