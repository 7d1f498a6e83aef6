"""Other ways to train together: replicas that train apart, compression, gradients that count later."""

import json
import os
import signal

from harness import (JOBS, MLP, MNIST, Distributed, Done, end_all, finish, pids, settings, start, step_of, summary,
                     weights)


def train(**values):
    return settings(**{f"train.{key}": value for key, value in values.items()})


class SyncModes(Distributed):
    def check_not_a_number(self, **options):
        """Reported once, with the rank that met it."""
        done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / "run", "--epochs", 3,
                    *settings(**{"optimizer.adam.learning_rate": 1e38}), *train(**options))
        self.assertEqual(done.status, 1, done.err)
        self.assertRegex(done.err, r"numerically unstable at step \d+ \(epoch 1\) on rank [01] \(")
        self.assertEqual(done.err.count("error:"), 1, done.err)


class LocalRounds(SyncModes):
    def test_the_bits_depend_on_the_replicas_alone(self):
        for mode in ("local_sgd", "diloco"):
            options = (*train(sync=mode, replicas=4, inner_steps=10), "--epochs", 3)
            expected = weights(self.train(f"{mode}-alone", MLP, *options))
            for workers in (2, 3, 4):
                run = self.launch(f"{mode}-{workers}", workers, MLP, *options, "--ledger")
                self.assertEqual(weights(run), expected, f"{mode}, {workers} workers")
                self.check_ledger(run, 2000)
                self.assertEqual(sum(summary(run)["samples_per_rank"]), 3 * 2000)

    def test_the_replicas_are_the_workers_unless_said(self):
        options = (*train(sync="diloco", inner_steps=10), "--epochs", 2)
        first, again = (self.launch(name, 2, MLP, *options) for name in ("first", "again"))
        self.assertEqual(weights(first), weights(again))
        self.assertEqual(summary(first)["replicas"], 2)
        self.assertNotEqual(weights(first), weights(self.launch("three", 3, MLP, *options)))
        self.assertIn("replicas: 2", (first / "job.yaml").read_text())

    def test_batch_norm_and_clipping(self):
        for job in ("cnn.yaml", "gpt.yaml"):
            options = (*train(sync="local_sgd", replicas=3, inner_steps=4),)
            expected = weights(self.train(f"{job}-alone", JOBS / job, *options))
            self.assertEqual(weights(self.launch(f"{job}-2", 2, JOBS / job, *options)), expected)

    def test_fewer_bytes(self):
        steps = (*settings(steps=400), "--epochs", 0)
        whole = self.launch("whole", 2, MLP, *steps)
        for mode in ("local_sgd", "diloco"):
            apart = self.launch(mode, 2, MLP, *steps, *train(sync=mode))
            for many, few in zip(summary(whole)["wire_bytes_per_rank"],
                                 summary(apart)["wire_bytes_per_rank"]):
                self.assertGreater(few, 0)
                self.assertGreater(many, 50 * few)
            self.assertAlmostEqual(summary(apart)["test_accuracy"], summary(whole)["test_accuracy"], delta=0.05)

    def test_epochs_end_at_the_exchange_behind_them(self):
        run = self.launch("run", 2, MLP, *train(sync="local_sgd", inner_steps=24), "--epochs", 3,
                          *settings(**{"data.validation": 0.1}))
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        # 15 steps an epoch: 15, 30 and 45 steps are passed at 24, 45 (the end) and 45.
        self.assertEqual([record["step"] for record in records if record["kind"] == "validation"], [24, 45])
        self.assertEqual(summary(run)["steps"], 45)

    def test_resume(self):
        options = train(sync="diloco", replicas=2, inner_steps=8)
        expected = self.alone(MLP, *options, "--epochs", 3)
        run = self.launch("resumed", 2, MLP, *options, "--epochs", 1)
        done = Done("launch", "-n", 3, "--resume", run, "--data", MNIST, "--epochs", 3)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), expected)

    def test_a_killed_worker_is_replaced(self):
        options = (*train(sync="diloco", inner_steps=20), "--epochs", 60)
        expected = self.alone(MLP, *options, *train(replicas=3))
        for victim in (0, 1):
            run = self.folder / f"killed-{victim}"
            process = start("launch", "-n", 3, MLP, *options, "--data", MNIST, "--out", run, "--ledger")
            self.addCleanup(lambda p=process, r=run: p.poll() is None and (p.kill(), end_all(r)))
            self.wait_for(lambda: step_of(run) >= 40, process)
            os.kill(pids(run)[victim], signal.SIGKILL)
            _, err = finish(process, ("--out", run))
            self.assertEqual(process.returncode, 0, err[-3000:])
            self.assertIn(f"rank {victim} was ended by signal 9", err)
            self.check_ledger(run, 2000)
            self.assertEqual(weights(run), expected, err[-3000:])

    def test_not_a_number_is_reported_with_its_rank(self):
        self.check_not_a_number(sync="local_sgd")

    def test_bad_options(self):
        for options, pattern in (
                (train(sync="hourly"), r"train.sync: expected .*every_step.*; got 'hourly'"),
                (train(inner_steps=5), "inner_steps belongs to train.sync local_sgd, diloco and async"),
                (train(sync="local_sgd", nesterov="true"), "nesterov belongs to train.sync diloco"),
                (train(sync="diloco", inner_steps=0), "inner_steps"),
                (train(sync="diloco", replicas=500), "train.replicas is 500, but a batch has 128 samples"),
                ((*train(sync="diloco", inner_steps=5), *settings(accumulate=2)),
                 r"expected a multiple of accumulate \(2\), got 5"),
                ((*train(sync="diloco"), *settings(precision="fp16")),
                 "diloco does not go with precision fp16")):
            done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / "bad", *options)
            self.assertEqual(done.status, 2, (options, done.err))
            self.assertRegex(done.err, pattern)


class Compression(Distributed):
    OPTIONS = ("--epochs", 6, *settings(logical_shards=8))

    def test_the_same_bits_again_with_fewer_bytes(self):
        plain = summary(self.launch("plain", 3, MLP, *self.OPTIONS))
        for name, share in (("bf16", 0.6), ("fp16", 0.6), ("top_k", 0.06), ("one_bit", 0.1)):
            options = (*self.OPTIONS, *train(compression=name))
            first, again = (self.launch(f"{name}-{i}", 3, MLP, *options) for i in range(2))
            self.assertEqual(weights(first), weights(again), name)
            self.assertLess(sum(summary(first)["wire_bytes_per_rank"]),
                            share * sum(plain["wire_bytes_per_rank"]), name)
            self.assertAlmostEqual(summary(first)["test_accuracy"], plain["test_accuracy"], delta=0.1, msg=name)

    def test_batch_norm_and_clipping(self):
        for job in ("cnn.yaml", "gpt.yaml"):
            options = train(compression="one_bit")
            first, again = (self.launch(f"{job}-{i}", 2, JOBS / job, *options) for i in range(2))
            self.assertEqual(weights(first), weights(again), job)

    def test_with_local_rounds(self):
        options = (*train(sync="local_sgd", inner_steps=10), "--epochs", 4)
        plain = summary(self.launch("plain", 2, MLP, *options))
        run = self.launch("bf16", 2, MLP, *options, *train(compression="bf16"))
        self.assertEqual(weights(run), weights(self.launch("again", 2, MLP, *options, *train(compression="bf16"))))
        self.assertLess(sum(summary(run)["wire_bytes_per_rank"]), 0.55 * sum(plain["wire_bytes_per_rank"]))

    def test_a_killed_worker_is_replaced(self):
        run = self.folder / "run"
        process = start("launch", "-n", 3, MLP, "--epochs", 60, *train(compression="top_k"), "--data", MNIST,
                        "--out", run, "--ledger")
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(run)))
        self.wait_for(lambda: step_of(run) >= 40, process)
        os.kill(pids(run)[1], signal.SIGKILL)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err[-3000:])
        self.check_ledger(run, 2000)

    def test_bad_options(self):
        for options, pattern in (
                (train(compression="zip"), "train.compression: expected .*top_k.*; got 'zip'"),
                (train(top_k=0.1), "top_k belongs to train.compression top_k"),
                (train(compression="top_k", top_k=0), "top_k"),
                ((*train(compression="bf16"), *settings(precision="f64")), "bf16 does not go with precision f64")):
            done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / "bad", *options)
            self.assertEqual(done.status, 2, (options, done.err))
            self.assertRegex(done.err, pattern)


class Async(SyncModes):
    OPTIONS = (*train(sync="async", staleness=3, inner_steps=24), "--epochs", 6, *settings(logical_shards=8))

    def test_the_bits_do_not_depend_on_the_workers(self):
        alone = self.train("alone", MLP, *self.OPTIONS)
        for workers in (1, 2, 3, 7):
            run = self.launch(f"with-{workers}", workers, MLP, *self.OPTIONS, "--ledger")
            self.assertEqual(weights(run), weights(alone), f"{workers} workers")
            self.check_ledger(run, 2000)
        whole = self.train("whole", MLP, "--epochs", 6)
        self.assertNotEqual(weights(whole), weights(alone))
        self.assertAlmostEqual(summary(whole)["test_accuracy"], summary(alone)["test_accuracy"], delta=0.05)

    def test_clipping(self):
        options = train(sync="async", staleness=2, inner_steps=4)
        expected = self.alone(JOBS / "gpt.yaml", *options)
        self.assertEqual(weights(self.launch("two", 2, JOBS / "gpt.yaml", *options)), expected)

    def test_rounds_shorter_than_the_staleness(self):
        options = (*train(sync="async", staleness=30, inner_steps=7), "--epochs", 1)
        expected = self.alone(MLP, *options)
        self.assertEqual(weights(self.launch("two", 2, MLP, *options)), expected)

    def test_resume(self):
        run = self.launch("resumed", 2, MLP, *self.OPTIONS[:-4], *settings(logical_shards=8), "--epochs", 3)
        done = Done("launch", "-n", 3, "--resume", run, "--data", MNIST, "--epochs", 6)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), self.alone(MLP, *self.OPTIONS))

    def test_a_killed_worker_is_replaced(self):
        options = (*train(sync="async", inner_steps=24), "--epochs", 60, *settings(logical_shards=8))
        expected = self.alone(MLP, *options)
        run = self.folder / "run"
        process = start("launch", "-n", 3, MLP, *options, "--data", MNIST, "--out", run, "--ledger")
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(run)))
        self.wait_for(lambda: step_of(run) >= 40, process)
        os.kill(pids(run)[1], signal.SIGKILL)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err[-3000:])
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), expected, err[-3000:])

    def test_not_a_number_is_reported_with_its_rank(self):
        self.check_not_a_number(sync="async")

    def test_bad_options(self):
        for job, options, pattern in (
                (MLP, train(sync="async", staleness=0), "staleness"),
                (MLP, train(staleness=2), "staleness belongs to train.sync async"),
                (MLP, (*train(sync="async"), *settings(accumulate=2)), "async does not go with accumulate"),
                (JOBS / "cnn.yaml", train(sync="async"), "sums over the whole batch in its middle")):
            done = Done("launch", "-n", 2, job, "--data", MNIST, "--out", self.folder / "bad", *options)
            self.assertIn(done.status, (1, 2), (options, done.err))
            self.assertRegex(done.err, pattern)
