"""The MNIST job in JAX: one jitted call for each step, or a whole epoch in one lax.scan.

Both drop the short last batch of an epoch, so that one shape is compiled. Data stay on the device as
u8; a step gathers its rows and converts them inside the compiled program.
"""

import functools

import common

args = common.arguments(["step", "scan"])

import jax  # noqa: E402  (importing is part of what is measured)
import jax.numpy as jnp  # noqa: E402

clock = common.Clock()
images, labels = common.load(args.data, "train")
x, y = jnp.asarray(images), jnp.asarray(labels)
steps = len(images) // args.batch


def logits_of(parameters, xb):
    (w1, b1), (w2, b2) = parameters
    return jax.nn.relu(xb.astype(jnp.float32) * (1 / 255) @ w1 + b1) @ w2 + b2


def loss_of(parameters, xb, yb):
    logs = jax.nn.log_softmax(logits_of(parameters, xb))
    return -jnp.take_along_axis(logs, yb.astype(jnp.int32)[:, None], axis=1).mean()


def update(state, rows, x, y):
    """One Adam step; state is (parameters, first moments, second moments, steps done)."""
    parameters, m, v, t = state
    gradients = jax.grad(loss_of)(parameters, x[rows], y[rows])
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    c1, c2 = 1 - 0.9**t, 1 - 0.999**t
    parameters = jax.tree.map(
        lambda p, m, v: p - 0.001 * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), parameters, m, v)
    return parameters, m, v, t


@functools.partial(jax.jit, donate_argnums=0)
def one_step(state, order, i, x, y):
    return update(state, jax.lax.dynamic_slice(order, (i * args.batch,), (args.batch,)), x, y)


@functools.partial(jax.jit, donate_argnums=0)
def one_epoch(state, order, x, y):
    rows = order[: steps * args.batch].reshape(steps, args.batch)
    return jax.lax.scan(lambda s, r: (update(s, r, x, y), None), state, rows)[0]


parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in common.initial_weights(args)]
state = (parameters, jax.tree.map(jnp.zeros_like, parameters),
         jax.tree.map(jnp.zeros_like, parameters), jnp.float32(0))
# NumPy's permutation: sorting random keys on the device takes several times as long.
import numpy as np  # noqa: E402

random = np.random.default_rng(args.seed)

for _ in range(args.epochs):
    clock.begin_epoch()
    order = jnp.asarray(random.permutation(len(images)).astype(np.int32))
    if args.variant == "scan":
        state = jax.block_until_ready(one_epoch(state, order, x, y))
    else:
        for i in range(steps):
            state = one_step(state, order, i, x, y)
            if clock.first_step_at is None:
                jax.block_until_ready(state)
                clock.step_done()
        jax.block_until_ready(state)
    clock.end_epoch(steps)

accuracy = None
if not args.no_evaluate:
    test_images, test_labels = common.load(args.data, "t10k")
    predicted = jax.jit(logits_of)(state[0], jnp.asarray(test_images)).argmax(1)
    accuracy = float((np.asarray(predicted) == test_labels).mean())
clock.report("JAX", args, accuracy)
