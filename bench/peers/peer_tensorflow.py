"""The MNIST job in TensorFlow: a tf.function for each step, or Keras fit.

The tf.function drops the short last batch of an epoch, so that one shape is traced.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import common  # noqa: E402

args = common.arguments(["function", "keras"])

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402  (importing is part of what is measured)

tf.config.threading.set_intra_op_parallelism_threads(args.threads)
tf.config.threading.set_inter_op_parallelism_threads(args.threads)
tf.keras.utils.set_random_seed(args.seed)
clock = common.Clock()

images, labels = common.load(args.data, "train")
test_images, test_labels = common.load(args.data, "t10k")
random = np.random.default_rng(args.seed)


def train_function():
    """Returns the accuracy function of the trained variables."""
    x = tf.constant(images.astype(np.float32) / 255)
    y = tf.constant(labels.astype(np.int32))
    weights = [tf.Variable(value) for layer in common.initial_weights(args) for value in layer]
    first = [tf.Variable(tf.zeros_like(w)) for w in weights]
    second = [tf.Variable(tf.zeros_like(w)) for w in weights]
    t = tf.Variable(0.0)

    def logits_of(xb):
        w1, b1, w2, b2 = weights
        return tf.nn.relu(xb @ w1 + b1) @ w2 + b2

    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(y, rows), logits_of(tf.gather(x, rows))))
        gradients = tape.gradient(loss, weights)
        t.assign_add(1.0)
        for w, m, v, g in zip(weights, first, second, gradients):
            tf.raw_ops.ResourceApplyAdam(  # its own fused kernel
                var=w.handle, m=m.handle, v=v.handle, beta1_power=tf.pow(0.9, t),
                beta2_power=tf.pow(0.999, t), lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8,
                grad=g)

    steps = len(images) // args.batch
    for _ in range(args.epochs):
        clock.begin_epoch()
        order = random.permutation(len(images)).astype(np.int32)
        for i in range(steps):
            step(tf.constant(order[i * args.batch:(i + 1) * args.batch]))
            clock.step_done()
        clock.end_epoch(steps)
    return lambda: float(np.mean(
        np.argmax(logits_of(tf.constant(test_images.astype(np.float32) / 255)), 1) == test_labels))


def train_keras():
    class Timer(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock.step_done()

        def on_epoch_begin(self, epoch, logs=None):
            clock.begin_epoch()

        def on_epoch_end(self, epoch, logs=None):
            clock.end_epoch(-(-len(images) // args.batch))

    x = images.astype(np.float32) / 255
    model = tf.keras.Sequential([
        tf.keras.layers.Input((common.PIXELS,)),
        tf.keras.layers.Dense(common.HIDDEN, activation="relu"),
        tf.keras.layers.Dense(common.CLASSES),
    ])
    model.compile(optimizer=tf.keras.optimizers.Adam(0.001),
                  loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    for layer, (w, b) in zip(model.layers, common.initial_weights(args)):
        layer.set_weights([w, b])
    model.fit(x, labels, batch_size=args.batch, epochs=args.epochs, shuffle=True, verbose=0,
              callbacks=[Timer()])
    return lambda: float(model.evaluate(test_images.astype(np.float32) / 255, test_labels,
                                        batch_size=1000, verbose=0)[1])


accuracy_of = train_keras() if args.variant == "keras" else train_function()
clock.report("TensorFlow", args, None if args.no_evaluate else accuracy_of())
