"""The MNIST job in PyTorch: eager with the fused Adam, or through torch.compile."""

import common

args = common.arguments(["eager", "compile"])

import torch  # noqa: E402  (importing is part of what is measured)

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
clock = common.Clock()

images, labels = common.load(args.data, "train")
# f32 in memory: gathering rows of f32 is faster here than gathering u8 and converting each batch.
x = torch.from_numpy(images).float().div_(255)
y = torch.from_numpy(labels).long()

model = torch.nn.Sequential(torch.nn.Linear(common.PIXELS, common.HIDDEN), torch.nn.ReLU(),
                            torch.nn.Linear(common.HIDDEN, common.CLASSES))
if args.init == "glorot":
    for layer in (model[0], model[2]):
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)


def loss_of(xb, yb):
    return torch.nn.functional.cross_entropy(model(xb), yb)


loss_function = loss_of
if args.variant == "compile":
    loss_function = torch.compile(loss_of, fullgraph=True, dynamic=False)

for _ in range(args.epochs):
    clock.begin_epoch()
    batches = torch.randperm(len(x)).split(args.batch)
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss_function(x.index_select(0, batch), y.index_select(0, batch)).backward()
        optimizer.step()
        clock.step_done()
    clock.end_epoch(len(batches))

accuracy = None
if not args.no_evaluate:
    test_images, test_labels = common.load(args.data, "t10k")
    with torch.inference_mode():
        predicted = model(torch.from_numpy(test_images).float().div_(255)).argmax(1)
        accuracy = (predicted == torch.from_numpy(test_labels).long()).float().mean().item()
clock.report("PyTorch", args, accuracy)
