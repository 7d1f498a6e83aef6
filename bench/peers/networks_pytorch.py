"""A network in PyTorch: eager or through torch.compile, pictures channels first or last; fused Adam."""

import networks_common as common

args = common.arguments(["eager", "eager-last", "compile", "compile-last"])

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(0)


class Positions(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(shape))

    def forward(self, x):
        return x + self.weight


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class LastState(nn.Module):
    def __init__(self, inputs, units):
        super().__init__()
        self.lstm = nn.LSTM(inputs, units, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[1][0][-1]


class Residual(nn.Module):
    def __init__(self, layers, shortcut):
        super().__init__()
        self.layers, self.shortcut = layers, shortcut

    def forward(self, x):
        return self.layers(x) + self.shortcut(x)


def build(layers, shape):
    """(the layers as one module, the shape of what they give); shapes are channels first."""
    modules = []
    for kind, *options in layers:
        if kind in ("conv", "depthwise"):
            filters, kernel, stride, bias = (
                options if kind == "conv" else (shape[0], *options, False))
            modules.append(nn.Conv2d(shape[0], filters, kernel, stride, kernel // 2, bias=bias,
                                     groups=shape[0] if kind == "depthwise" else 1))
            shape = (filters, -(-shape[1] // stride), -(-shape[2] // stride))
        elif kind == "dense":
            units, bias = options
            modules.append(nn.Linear(shape[-1], units, bias=bias))
            shape = (*shape[:-1], units)
        elif kind == "residual":
            body, end = build(options[0], shape)
            modules.append(Residual(body, build(options[1], shape)[0]))
            shape = end
        elif kind == "max_pool":
            modules.append(nn.MaxPool2d(*options))
            shape = (shape[0], shape[1] // options[0], shape[2] // options[0])
        elif kind == "global_average_pool":
            modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            shape = shape[:1]
        elif kind == "flatten":
            modules.append(nn.Flatten())
            shape = (torch.Size(shape).numel(),)
        elif kind == "lstm":
            modules.append(LastState(shape[1], *options))
            shape = (options[0],)
        elif kind == "embedding":
            modules.append(nn.Embedding(*options))
            shape = (*shape, options[1])
        else:
            modules.append({
                "batch_norm": lambda: nn.BatchNorm2d(shape[0], common.NORM_EPSILON),
                "layer_norm": lambda: nn.LayerNorm(shape[-1]),
                "positions": lambda: Positions(shape),
                "attention": lambda: Attention(shape[-1], *options),
                "relu": lambda: nn.ReLU(inplace=True),
                "relu6": lambda: nn.ReLU6(inplace=True),
                "gelu": lambda: nn.GELU("tanh"),
            }[kind]())
    return nn.Sequential(*modules), shape


network = args.network
channels_last = args.variant.endswith("-last")


def to_torch(x, y):
    x = torch.from_numpy(x)
    if network.pictures:
        x = x.permute(0, 3, 1, 2)
        x = x.contiguous(memory_format=torch.channels_last if channels_last
                         else torch.contiguous_format)
    return x, torch.from_numpy(y).long().flatten()


first = (network.shape[2], *network.shape[:2]) if network.pictures else network.shape
model, _ = build(network.layers, first)
if channels_last:
    model = model.to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), lr=common.RATE, fused=True)


def loss_of(x, y):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
        logits = model(x)
    return functional.cross_entropy(logits.flatten(0, -2).float(), y)


loss_function = loss_of
if args.variant.startswith("compile"):
    loss_function = torch.compile(loss_of, dynamic=False)


def step(x, y):
    optimizer.zero_grad(set_to_none=True)
    loss = loss_function(x, y)
    loss.backward()
    optimizer.step()
    return loss.detach()


common.measure(args, "PyTorch", sum(p.numel() for p in model.parameters()),
               [to_torch(x, y) for x, y in common.batches(network)], step)
