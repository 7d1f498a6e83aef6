"""A network in JAX: one jitted call a step, the state donated; pictures channels last."""

import functools

import networks_common as common

args = common.arguments(["jit"])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

network = args.network
compute = jnp.bfloat16 if args.precision == "bf16" else jnp.float32


class Forward:
    """One pass through the layers: takes the weights in order, keeps the new running statistics."""

    def __init__(self, trained, state):
        self._trained, self._state = iter(trained), iter(state)
        self.new_state = []

    def run(self, layers, x):
        for kind, *options in layers:
            x = getattr(self, kind)(x, *options)
        return x

    def _weight(self):
        return next(self._trained).astype(compute)

    def conv(self, x, filters, kernel, stride, bias, groups=1):
        y = jax.lax.conv_general_dilated(
            x, self._weight(), (stride, stride), [(kernel // 2, kernel // 2)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)
        return y + self._weight() if bias else y

    def depthwise(self, x, kernel, stride):
        return self.conv(x, x.shape[3], kernel, stride, False, groups=x.shape[3])

    def batch_norm(self, x):
        scale, bias = next(self._trained), next(self._trained)
        wide = x.astype(jnp.float32)
        mean = wide.mean((0, 1, 2))
        variance = jnp.square(wide).mean((0, 1, 2)) - jnp.square(mean)
        for value in (mean, variance):
            kept = common.NORM_KEPT * next(self._state)
            self.new_state.append(kept + (1 - common.NORM_KEPT) * value)
        factor = scale * jax.lax.rsqrt(variance + common.NORM_EPSILON)
        return (wide * factor + (bias - mean * factor)).astype(compute)

    def layer_norm(self, x):
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        factor = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)
        return (centred * factor * next(self._trained) + next(self._trained)).astype(compute)

    def relu(self, x):
        return jax.nn.relu(x)

    def relu6(self, x):
        return jax.nn.relu6(x)

    def gelu(self, x):
        return jax.nn.gelu(x, approximate=True)

    def max_pool(self, x, size):
        window = (1, size, size, 1)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

    def flatten(self, x):
        return x.reshape(len(x), -1)

    def global_average_pool(self, x):
        return x.mean((1, 2))

    def dense(self, x, units, bias):
        y = x @ self._weight()
        return y + self._weight() if bias else y

    def lstm(self, x, units):
        weight, recurrent = self._weight(), self._weight()
        bias = self._weight() + self._weight()
        inputs = (x @ weight + bias).swapaxes(0, 1)

        def one(carry, part):
            h, c = carry
            i, f, g, o = jnp.split(part + h @ recurrent, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((len(x), units), compute)
        return jax.lax.scan(one, (zeros, zeros), inputs, unroll=4)[0][0]

    def embedding(self, x, vocabulary, width):
        return self._weight()[x]

    def positions(self, x):
        return x + self._weight()

    def attention(self, x, heads):
        batch, length, width = x.shape
        qkv = self.dense(x, 3 * width, True).reshape(batch, length, 3, heads, width // heads)
        mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2],
                                             is_causal=True)
        return self.dense(mixed.reshape(batch, length, width), width, True)

    def residual(self, x, layers, shortcut):
        y = self.run(layers, x)
        return y + self.run(shortcut, x)


def loss_of(trained, state, x, y):
    forward = Forward(trained, state)
    logits = forward.run(network.layers, x if network.tokens else x.astype(compute))
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(logs, y[..., None], axis=-1).mean(), forward.new_state


@functools.partial(jax.jit, donate_argnums=0)
def update(all_state, x, y):
    """One step; all_state is (weights, first moments, second moments, running statistics, steps)."""
    trained, m, v, state, t = all_state
    (loss, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, state, x, y)
    t = t + 1
    b1, b2 = common.BETA1, common.BETA2
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, gradients)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, gradients)
    rate, correction = common.RATE / (1 - b1**t), 1 / (1 - b2**t)
    trained = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + common.EPSILON), trained, m, v)
    return (trained, m, v, state, t), loss


initial = common.InitialWeights(network)
parameters = sum(w.size for w in initial.trained)
current = ([jnp.asarray(w) for w in initial.trained],
           [jnp.zeros(w.shape) for w in initial.trained],
           [jnp.zeros(w.shape) for w in initial.trained],
           [jnp.asarray(s) for s in initial.state], jnp.float32(0))
del initial


def step(x, y):
    global current
    current, loss = jax.block_until_ready(update(current, x, y))
    return loss


common.measure(args, "JAX", parameters,
               [(jnp.asarray(x), jnp.asarray(y)) for x, y in common.batches(network)], step)
