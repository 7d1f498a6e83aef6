"""Workers that each hold a part of the optimizer's state give the bits of one process."""

import os
import re
import signal

from harness import JOBS, MLP, MNIST, Distributed, Done, finish, pids, start, step_of, summary, validations, weights

SHARD = ("--set", "train.shard_optimizer=true")
CHOICES = {  # what goes with an optimizer, once each
    "adam": ("--set", "average=0.9"),
    "adamw": ("--set", "clip=0.5"),
    "sgd": ("--set", "accumulate=2"),
    "lamb": (),
    "lars": ("--set", "clip=0.5"),
    "muon": ("--set", "accumulate=2"),
    "lion": ("--set", "precision=bf16"),
    "rmsprop": ("--set", "precision=fp16"),
}


class Sharded(Distributed):
    def test_mlp(self):
        options = ("--epochs", 2, "--set", "logical_shards=8")
        expected = weights(self.train("alone", MLP, *options))
        for workers in (1, 2, 3, 4, 7):
            run = self.launch(f"with-{workers}", workers, MLP, *options, *SHARD)
            self.assertEqual(weights(run), expected, f"{workers} workers")
        alone = self.train("alone-too", MLP, *options, *SHARD)
        self.assertEqual(weights(alone), expected, "one process without a group")

    def test_cnn_and_gpt(self):
        for job in ("cnn", "gpt"):  # batch norm; clipping, tied embeddings
            expected = weights(self.train(job, JOBS / f"{job}.yaml"))
            for workers in (2, 3):
                run = self.launch(f"{job}-{workers}", workers, JOBS / f"{job}.yaml", *SHARD)
                self.assertEqual(weights(run), expected, f"{job}, {workers} workers")

    def test_optimizers_and_what_goes_with_them(self):
        for optimizer, extra in CHOICES.items():
            options = ("--epochs", 1, "--set", "logical_shards=8", "--set", f"optimizer={optimizer}",
                       "--set", "data.validation=0.2", *extra)
            alone = self.train(f"{optimizer}-alone", MLP, *options)
            run = self.launch(f"{optimizer}-3", 3, MLP, *options, *SHARD)
            self.assertEqual(weights(run), weights(alone), optimizer)
            self.assertEqual(validations(run), validations(alone), optimizer)

    def test_each_holds_less(self):
        job = JOBS / "mesh_wide.yaml"
        options = ("--threads", 1, "--set", "logical_shards=8", "--set", "optimizer=adam")
        whole = self.launch("whole", 4, job, *options)
        parts = self.launch("parts", 4, job, *options, *SHARD)
        self.assertEqual(weights(parts), weights(whole))
        before, after = summary(whole), summary(parts)
        moments = 2 * 4 * after["parameters"]
        for rank in range(4):
            saved = before["memory_bytes_per_rank"][rank] - after["memory_bytes_per_rank"][rank]
            # Blocks are rounded up to huge pages.
            self.assertGreater(saved, 0.75 * moments - (4 << 20), rank)
        sent = [sum(each["wire_bytes_per_rank"]) for each in (before, after)]
        self.assertLess(sent[1], 1.05 * sent[0])

    def test_the_limit_of_memory_counts_a_workers_part(self):
        words = ("--set", "logical_shards=4", "--set", "optimizer=adam")
        job = (JOBS / "mesh_wide.yaml", *words)

        def refused(*options):
            done = Done("launch", "-n", 4, *job, "--data", MNIST, "--out", self.folder / "refused", "--overwrite",
                        "--set", "memory_limit=1MiB", *options)
            self.assertEqual(done.status, 1, done.err)
            self.assertIn("memory_limit is 1.0 MiB, and a step needs", done.err)
            return int(re.search(r"memory_limit: (\d+)MiB", done.err)[1])

        whole, part = refused(), refused(*SHARD)
        self.assertLess(part, whole - 10, "three quarters of Adam's moments are 18 MiB")
        run = self.launch("fits", 4, *job, "--set", f"memory_limit={part}MiB", *SHARD)
        self.assertEqual(weights(run), self.alone(*job))
        for rank, held in enumerate(summary(run)["memory_bytes_per_rank"]):
            self.assertLessEqual(held, part << 20, rank)

    def test_checkpoints_are_whole(self):
        options = ("--set", "logical_shards=8", "--set", "average=0.9")
        expected = weights(self.train("alone", MLP, "--epochs", 4, *options))
        run = self.launch("resumed", 4, MLP, "--epochs", 1, *options, *SHARD)
        steps = [("launch", "-n", 3), ("launch", "-n", 2, "--set", "train.shard_optimizer=false"), ("train",)]
        for epochs, words in enumerate(steps, 2):
            done = Done(*words, "--resume", run, "--data", MNIST, "--epochs", epochs)
            self.assertEqual(done.status, 0, done.err)
            self.assertGreater(summary(run)["resumed_from_step"], 0)
        self.assertEqual(weights(run), expected)
        # And the other way: what one process has begun.
        run = self.train("begun", MLP, "--epochs", 1, *options)
        done = Done("launch", "-n", 3, "--resume", run, "--data", MNIST, "--epochs", 4, *SHARD)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), expected)

    def test_a_lost_worker_takes_all_back_to_the_checkpoint(self):
        options = ("--epochs", 12, "--set", "logical_shards=8", "--set", "checkpoint.every_steps=10")
        expected = weights(self.train("alone", MLP, *options))
        run = self.folder / "killed"
        arguments = ("launch", "-n", 3, MLP, "--data", MNIST, "--out", run, "--ledger", *options, *SHARD)
        process = start(*arguments)
        for victim, step in ((1, 20), (0, 60)):
            self.wait_for(lambda: step_of(run) >= step, process)
            before = pids(run)
            os.kill(before[victim], signal.SIGKILL)
            self.wait_for(lambda: pids(run).get(victim, before[victim]) != before[victim], process)
        _, err = finish(process, arguments)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(weights(run), expected)
        self.check_ledger(run, 2000)

    def test_who_joins_costs_no_step(self):
        options = ("--epochs", 40, "--set", "logical_shards=8", "--set", "checkpoint.every_seconds=0",
                   "--set", "optimizer=adam", "--set", "average=0.9")
        expected = weights(self.train("alone", MLP, *options))
        run = self.folder / "grown"
        arguments = ("launch", "-n", 2, MLP, "--data", MNIST, "--out", run, "--ledger", *options, *SHARD)
        process = start(*arguments)
        self.wait_for(lambda: step_of(run) >= 10, process)
        token = run / "rendezvous" / "token"
        joined = start("worker", MLP, "--data", MNIST, "--out", run, "--rendezvous", f"file://{run}/rendezvous",
                       "--workers", 2, *options, *SHARD, env={"INGOT_TOKEN_FILE": str(token)})
        _, err = finish(process, arguments)
        self.assertEqual(process.returncode, 0, err)
        _, joined_err = finish(joined, ("worker",))
        self.assertEqual(joined.returncode, 0, joined_err)
        self.assertIn("joins after the step at hand", err + joined_err)
        self.assertEqual(weights(run), expected)
        lines = self.check_ledger(run, 2000)
        groups = [line["group"] for line in lines]
        # No checkpoint was there to go back to: the second group goes on where the first one ended.
        self.assertEqual(groups, sorted(groups))
        self.assertGreater(groups[-1], groups[0])
        self.assertEqual(len(summary(run)["samples_per_rank"]), 3)
        # Groups that are formed anew before the first step, where workers start slowly, begin at 0.
        goes_on = re.search(r"of 3 workers goes on at step (\d+)", err)
        self.assertIsNotNone(goes_on, err)
        self.assertGreaterEqual(int(goes_on.group(1)), 10)

    def test_what_is_refused(self):
        cases = [
            (("--set", "train.sync=local_sgd"), "train.sync local_sgd"),
            (("--set", "train.sync=async"), "train.sync async"),
            (("--set", "train.compression=bf16"), "train.compression bf16"),
            (("--set", "mesh.data=2"), "mesh does not go with train.shard_optimizer"),
        ]
        for number, (words, expected) in enumerate(cases):
            done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / f"refused-{number}",
                        *words, *SHARD)
            self.assertEqual(done.status, 2, done.err)
            self.assertIn(expected, done.err)

    def test_explained(self):
        done = Done("train", MLP, "--data", MNIST, "--explain", *SHARD, "--set", "logical_shards=8")
        self.assertEqual(done.status, 0, done.err)
        text = done.out.split("train.shard_optimizer: of")[1]
        for workers in (2, 4, 8):
            self.assertIn(f"of {workers} workers", text)
