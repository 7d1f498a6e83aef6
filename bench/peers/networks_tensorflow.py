"""A network in TensorFlow: one tf.function a step, with or without XLA; pictures channels last.

bf16 is what the policy mixed_bfloat16 does: f32 variables, cast for each product. The update is
TensorFlow's own fused Adam kernel, and batch norm its fused kernel.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import networks_common as common  # noqa: E402

args = common.arguments(["function", "xla"])

import tensorflow as tf  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(args.threads)
tf.config.threading.set_inter_op_parallelism_threads(args.threads)
network = args.network
compute = tf.bfloat16 if args.precision == "bf16" else tf.float32


class Forward:
    """One pass through the layers: takes the variables in order, updates the running statistics."""

    def __init__(self, trained, state):
        self._trained, self._state = iter(trained), iter(state)

    def run(self, layers, x):
        for kind, *options in layers:
            x = getattr(self, kind)(x, *options)
        return x

    def _weight(self):
        return tf.cast(next(self._trained), compute)

    def conv(self, x, filters, kernel, stride, bias):
        # SAME pads a stride of 2 on one side only: another place, the same work.
        y = tf.nn.conv2d(x, self._weight(), stride, "SAME")
        return tf.nn.bias_add(y, self._weight()) if bias else y

    def depthwise(self, x, kernel, stride):
        weight = tf.reshape(self._weight(), (kernel, kernel, -1, 1))
        return tf.nn.depthwise_conv2d(x, weight, (1, stride, stride, 1), "SAME")

    def batch_norm(self, x):
        scale, bias = next(self._trained), next(self._trained)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=bias, mean=[], variance=[], epsilon=common.NORM_EPSILON,
            is_training=True)
        for value in (mean, variance):
            running = next(self._state)
            running.assign_sub((1 - common.NORM_KEPT) * (running - value))
        return y

    def layer_norm(self, x):
        wide = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(wide, -1, keepdims=True)
        scale, bias = next(self._trained), next(self._trained)
        return tf.cast(tf.nn.batch_normalization(wide, mean, variance, bias, scale, 1e-5), compute)

    def relu(self, x):
        return tf.nn.relu(x)

    def relu6(self, x):
        return tf.nn.relu6(x)

    def gelu(self, x):
        return tf.nn.gelu(x, approximate=True)

    def max_pool(self, x, size):
        return tf.nn.max_pool2d(x, size, size, "VALID")

    def flatten(self, x):
        return tf.reshape(x, (len(x), -1))

    def global_average_pool(self, x):
        return tf.reduce_mean(x, (1, 2))

    def dense(self, x, units, bias):
        weight = self._weight()
        y = tf.reshape(x, (-1, x.shape[-1])) @ weight  # one product, not one for each sequence
        if bias:
            y = tf.nn.bias_add(y, self._weight())
        return tf.reshape(y, (*x.shape[:-1], units)) if len(x.shape) > 2 else y

    def lstm(self, x, units):
        weight, recurrent = self._weight(), self._weight()
        bias = self._weight() + self._weight()
        batch, length, width = x.shape
        inputs = tf.reshape(tf.transpose(x, (1, 0, 2)), (-1, width)) @ weight + bias
        inputs = tf.reshape(inputs, (length, batch, 4 * units))

        def one(t, h, c):
            i, f, g, o = tf.split(inputs[t] + h @ recurrent, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            return t + 1, tf.sigmoid(o) * tf.tanh(c), c

        h = c = tf.zeros((batch, units), compute)
        if args.variant == "xla":  # it compiles 64 copies of a step for minutes
            return tf.while_loop(lambda t, *_: t < length, one, (0, h, c),
                                 maximum_iterations=length)[1]
        for t in range(length):
            _, h, c = one(t, h, c)
        return h

    def embedding(self, x, vocabulary, width):
        return tf.gather(self._weight(), x)

    def positions(self, x):
        return x + self._weight()

    def attention(self, x, heads):
        batch, length, width = x.shape
        qkv = tf.reshape(self.dense(x, 3 * width, True), (batch, length, 3, heads, width // heads))
        q, k, v = tf.unstack(tf.transpose(qkv, (2, 0, 3, 1, 4)))
        scores = tf.cast(tf.matmul(q, k, transpose_b=True), tf.float32) * (width // heads) ** -0.5
        seen = tf.linalg.band_part(tf.ones((length, length), tf.bool), -1, 0)
        shares = tf.nn.softmax(tf.where(seen, scores, -1e9))
        mixed = tf.transpose(tf.cast(shares, compute) @ v, (0, 2, 1, 3))
        return self.dense(tf.reshape(mixed, (batch, length, width)), width, True)

    def residual(self, x, layers, shortcut):
        y = self.run(layers, x)
        return y + self.run(shortcut, x)


initial = common.InitialWeights(network)
parameters = sum(w.size for w in initial.trained)
trained = [tf.Variable(w) for w in initial.trained]
state = [tf.Variable(s, trainable=False) for s in initial.state]
first = [tf.Variable(tf.zeros_like(w), trainable=False) for w in trained]
second = [tf.Variable(tf.zeros_like(w), trainable=False) for w in trained]
steps_done = tf.Variable(0.0, trainable=False)
del initial


@tf.function(jit_compile=args.variant == "xla")
def update(x, y):
    with tf.GradientTape() as tape:
        x = x if network.tokens else tf.cast(x, compute)
        logits = tf.cast(Forward(trained, state).run(network.layers, x), tf.float32)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    gradients = tape.gradient(loss, trained)
    steps_done.assign_add(1.0)
    power1, power2 = tf.pow(common.BETA1, steps_done), tf.pow(common.BETA2, steps_done)
    for w, m, v, g in zip(trained, first, second, gradients):
        tf.raw_ops.ResourceApplyAdam(
            var=w.handle, m=m.handle, v=v.handle, beta1_power=power1, beta2_power=power2,
            lr=common.RATE, beta1=common.BETA1, beta2=common.BETA2, epsilon=common.EPSILON,
            grad=tf.convert_to_tensor(g))
    return loss


common.measure(args, "TensorFlow", parameters,
               [(tf.constant(x), tf.constant(y)) for x, y in common.batches(network)],
               lambda x, y: update(x, y).numpy())
