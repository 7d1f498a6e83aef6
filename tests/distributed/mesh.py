"""A model that is spread over a mesh of workers is trained as one process does."""

import array
import json
import os
import pathlib
import signal

from harness import JOBS, MLP, MNIST, Distributed, Done, finish, pids, settings, start, step_of, summary, weights

GPT = JOBS / "mesh_gpt.yaml"
TIED = JOBS / "gpt.yaml"
WIDE = JOBS / "mesh_wide.yaml"
# The axis `tensor` changes the order of sums; so much may the weights differ after some steps, where
# values lie around 0.1.
TOLERANCE = 1e-4


def tensors(run):
    """{name: (shape, values)} of the final model."""
    data = (pathlib.Path(run) / "checkpoints" / "final" / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = array.array("f")
        values.frombytes(data[8 + size + begin:8 + size + end])
        found[name] = (entry["shape"], values)
    return found


def mesh(**axes):
    return settings(**{f"mesh.{axis}": count for axis, count in axes.items()})


class Mesh(Distributed):
    def spread(self, name, job, *options, **axes):
        workers = 1
        for axis, count in axes.items():
            workers *= count if axis != "micro_batches" else 1
        return self.launch(name, workers, job, *options, *mesh(**axes))

    def assert_close(self, run, expected):
        ours, theirs = tensors(run), tensors(expected)
        self.assertEqual({name: shape for name, (shape, _) in ours.items()},
                         {name: shape for name, (shape, _) in theirs.items()})
        worst = max(abs(a - b) for name in ours for a, b in zip(ours[name][1], theirs[name][1]))
        self.assertLess(worst, TOLERANCE)

    def test_tensor_parallel_mlp(self):
        options = ("--epochs", 1, "--set", "logical_shards=8")
        alone = self.train("alone", MLP, *options)
        run = self.spread("cut", MLP, *options, tensor=2)
        self.assert_close(run, alone)
        both = self.spread("both", MLP, *options, data=2, tensor=2)
        self.assertEqual(weights(both), weights(run), "the axis data changes no bit")

    def test_tensor_parallel_attention_and_embedding(self):
        # Not Adam: it makes steps of equal length of the rounding errors that are the gradient of a
        # bias of keys.
        options = ("--set", "optimizer=sgd")
        alone = self.train("alone", GPT, *options)
        run = self.spread("cut", GPT, *options, tensor=2)
        self.assert_close(run, alone)
        both = self.spread("both", GPT, *options, data=2, tensor=2)
        self.assertEqual(weights(both), weights(run), "the axis data changes no bit")

    def test_tied_embedding_with_clipping(self):
        job = self.folder / "tied.yaml"
        job.write_text(TIED.read_text().replace("embedding: {vocabulary: 64", "embedding: {vocabulary: 512"))
        options = ("--set", "optimizer=sgd")
        alone = self.train("alone", job, *options)
        explained = Done("train", job, "--data", MNIST, "--explain", *options, *mesh(tensor=2))
        self.assertIn("tokens (embedding", explained.out.split("cut among")[1].split("\n")[0])
        self.assert_close(self.spread("cut", job, *options, tensor=2), alone)

    def test_pipeline_has_the_bits_of_one_process(self):
        expected = self.alone(GPT)
        for axes in ({"pipeline": 2}, {"pipeline": 3, "micro_batches": 2}, {"data": 2, "pipeline": 2}):
            run = self.spread("-".join(f"{axis}{count}" for axis, count in axes.items()), GPT, **axes)
            self.assertEqual(weights(run), expected, axes)

    def test_all_axes(self):
        options = ("--set", "clip=0.5", "--set", "optimizer=sgd")
        alone = self.train("alone", GPT, *options)
        run = self.spread("spread", GPT, *options, data=2, tensor=2, pipeline=2)
        self.assert_close(run, alone)

    def test_a_model_that_does_not_fit_one_worker(self):
        limit = ("--set", "memory_limit=64MiB")
        refused = Done("train", WIDE, "--data", MNIST, "--out", self.folder / "alone", *limit)
        self.assertNotEqual(refused.status, 0)
        self.assertIn("memory_limit is 64", refused.err)
        whole = self.launch("whole", 1, WIDE, "--threads", 1)
        for axes in ({"tensor": 2}, {"pipeline": 2}):
            run = self.spread("-".join(axes), WIDE, "--threads", 1, *limit, **axes)
            self.assertEqual(summary(run)["steps"], 4)
            self.assert_close(run, whole)
            for memory in summary(run)["memory_bytes_per_rank"]:
                self.assertLess(memory, 0.75 * summary(whole)["memory_bytes_per_rank"][0], axes)

    def test_resume_and_eval(self):
        expected = self.alone(GPT, "--set", "steps=14")
        run = self.spread("run", GPT, "--set", "checkpoint.every_steps=4", pipeline=2)
        done = Done("launch", "--resume", run, "--data", MNIST, "--set", "steps=14")
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(summary(run)["resumed_from_step"], 10)
        self.assertEqual(weights(run), expected)
        done = Done("eval", run, "--data", MNIST, "--json")
        self.assertEqual(done.status, 0, done.err)

    def test_a_lost_worker_takes_all_back_to_the_checkpoint(self):
        options = ("--set", "steps=64", "--set", "checkpoint.every_steps=5")
        expected = self.alone(GPT, *options)
        run = self.folder / "killed"
        arguments = ("launch", "-n", 2, GPT, "--data", MNIST, "--out", run, "--ledger", *options, *mesh(pipeline=2))
        process = start(*arguments)
        self.wait_for(lambda: step_of(run) >= 12, process)
        os.kill(pids(run)[1], signal.SIGKILL)
        _, err = finish(process, arguments)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(weights(run), expected)
        self.check_ledger(run, 256)

    def test_what_is_refused(self):
        cases = [
            (("train", GPT, *mesh(tensor=2)), "ingot launch -n 2"),
            (("launch", "-n", 3, GPT, *mesh(tensor=2)), "-n is 3"),
            (("launch", GPT, "--set", "precision=bf16", *mesh(tensor=2)), "precision bf16"),
            (("launch", GPT, "--set", "train.sync=local_sgd", *mesh(tensor=2)), "train.sync local_sgd"),
            (("launch", TIED, *mesh(pipeline=2)), "tokens.weight"),
            (("launch", MLP, *mesh(pipeline=3)), "the network can be cut at 1 places"),
            (("launch", JOBS / "cnn.yaml", *mesh(tensor=2)), "mesh.tensor"),
            (("launch", GPT, "--set", "optimizer=lamb", *mesh(tensor=2)), "whole gradient"),
        ]
        for number, (words, expected) in enumerate(cases):
            done = Done(*words, "--data", MNIST, "--out", self.folder / f"refused-{number}")
            self.assertNotEqual(done.status, 0, words)
            self.assertIn(expected, done.err)
