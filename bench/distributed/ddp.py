"""One worker of PyTorch DistributedDataParallel on Gloo: the median time of a step, on rank 0.

usage: ddp.py mlp|cnn|gpt STEPS (RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets them)
"""

import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional

WARM_UP = 3


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, vocabulary=256, width=384, length=256, layers=6, heads=6):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        return functional.linear(self.norm(self.blocks(x)), self.tokens.weight)


def network(name):
    """(the model, a whole batch of inputs, of labels)"""
    if name == "mlp":
        model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
        return model, torch.randn(128, 784), torch.randint(10, (128,))
    if name == "cnn":
        model = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(128 * 49, 128), nn.ReLU(), nn.Linear(128, 10))
        return model, torch.randn(128, 1, 28, 28), torch.randint(10, (128,))
    return Gpt(), torch.randint(256, (8, 256)), torch.randint(256, (8, 256))


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.distributed.init_process_group("gloo")
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    model, x, y = network(sys.argv[1])
    x, y = x.chunk(size)[rank], y.chunk(size)[rank]
    model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters())
    times = []
    for _ in range(WARM_UP + int(sys.argv[2])):
        begin = time.perf_counter()
        optimizer.zero_grad()
        functional.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    if rank == 0:
        print(statistics.median(times[WARM_UP:]))


if __name__ == "__main__":
    main()
