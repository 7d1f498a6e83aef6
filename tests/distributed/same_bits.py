"""Any number of workers gives the bits of one process."""

import json
import os

from harness import JOBS, MLP, MNIST, Distributed, Done, summary, validations, weights


class SameBits(Distributed):
    def compare(self, job, *options, workers=(1, 2, 3, 4, 7)):
        expected = self.alone(job, *options)
        for count in workers:
            run = self.launch(f"with-{count}", count, job, *options)
            self.assertEqual(weights(run), expected, f"{count} workers")
            samples = summary(run)["samples_per_rank"]
            self.assertEqual(len(samples), count)
            self.assertTrue(all(number > 0 for number in samples), samples)
        return samples

    def test_mlp(self):
        self.compare(MLP, "--epochs", 2, "--set", "logical_shards=8")

    def test_files_are_those_of_train(self):
        alone = self.train("alone", MLP, "--epochs", 2)
        run = self.launch("shared", 2, MLP, "--epochs", 2)
        names = {path.name for path in alone.iterdir() if not path.name.startswith("events.")}
        self.assertLessEqual(names, {path.name for path in run.iterdir()})
        plain = [json.loads(line) for line in (alone / "metrics.jsonl").read_text().splitlines()]
        shared = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for record in plain + shared:
            del record["seconds"]
        self.assertEqual(shared, plain)
        self.assertEqual(summary(run)["test_accuracy"], summary(alone)["test_accuracy"])
        self.assertEqual(sum(summary(run)["samples_per_rank"]), 2 * 2000)

    def test_the_peak_is_that_of_all_workers(self):
        cache = self.folder / "cache"
        done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / "run", "--threads", 1,
                    "--set", "steps=4", env={"INGOT_CACHE": str(cache)})
        self.assertEqual(done.status, 0, done.err)
        peaks = json.loads((cache / "gemm_peak.json").read_text())
        threads = min(2, len(os.sched_getaffinity(0)))
        self.assertEqual(len(peaks), 1, peaks)
        self.assertIn(f" {threads} threads", next(iter(peaks)))

    def test_shared_validation_has_the_numbers_of_one_process(self):
        options = ("--epochs", 2, "--set", "data.validation=0.4", "--set", "logical_shards=8")
        expected = validations(self.train("alone", MLP, *options))
        self.assertEqual(len(expected), 2)
        for workers in (2, 3, 7):  # of 4 batches
            run = self.launch(f"with-{workers}", workers, MLP, *options)
            self.assertEqual(validations(run), expected, f"{workers} workers")

    def test_cnn_with_batch_norm(self):
        self.compare(JOBS / "cnn.yaml", workers=(2, 3, 7))

    def test_batch_norm_and_optimizers_that_look_at_whole_parameters(self):
        for optimizer in ("lamb", "lars", "muon"):
            options = ("--set", f"optimizer={optimizer}")
            expected = self.alone(JOBS / "cnn.yaml", *options)
            for name, *more in (("plain",), ("sharded", "--set", "train.shard_optimizer=true"),
                                ("mesh", "--set", "mesh.data=3")):
                run = self.launch(f"{optimizer}-{name}", 3, JOBS / "cnn.yaml", *options, *more)
                self.assertEqual(weights(run), expected, f"{optimizer}, {name}")

    def test_gpt_with_clipping(self):
        self.compare(JOBS / "gpt.yaml", workers=(2, 3, 7))

    def test_threads_do_not_matter(self):
        expected = self.alone(JOBS / "cnn.yaml", "--threads", 1)
        run = self.launch("threads", 2, JOBS / "cnn.yaml", "--threads", 3)
        self.assertEqual(weights(run), expected)

    def test_more_workers_than_shards_stand_by(self):
        options = ("--epochs", 1, "--set", "logical_shards=2")
        expected = self.alone(MLP, *options)
        run = self.folder / "spares"
        done = Done("launch", "-n", 3, MLP, "--data", MNIST, "--out", run, *options)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), expected)
        self.assertIn("stands by", done.err)

    def test_resume(self):
        options = ("--set", "logical_shards=8")
        expected = self.alone(MLP, "--epochs", 3, *options)
        run = self.launch("resumed", 2, MLP, "--epochs", 1, *options)
        done = Done("launch", "-n", 3, "--resume", run, "--data", MNIST, "--epochs", 3)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), expected)
        self.assertGreater(summary(run)["resumed_from_step"], 0)
