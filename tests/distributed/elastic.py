"""Workers that die, stop and come again: the bits of an undisturbed run, and nothing lost."""

import collections
import hashlib
import json
import math
import os
import random
import signal
import time

from harness import (MLP, MNIST, PATIENCE_S, Distributed, end_all, finish, pids, start, step_of, summary,
                     validations, weights)

STORM_SECONDS = float(os.environ.get("INGOT_STORM_SECONDS", "20"))


class Elastic(Distributed):
    """Workers that die, stop and come again."""

    JOB = (MLP, "--epochs", 60, "--set", "logical_shards=8")
    SAMPLES = 2000

    def begin(self, workers, name="run", *options):
        run = self.folder / name
        process = start("launch", "-n", workers, *self.JOB, "--data", MNIST, "--out", run, "--ledger",
                        *options)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(run)))
        self.wait_for(lambda: step_of(run) >= 5, process)
        return run, process

    def finish(self, run, process, expected=None):
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err[-3000:])
        self.check_ledger(run, self.SAMPLES)
        if expected is None:
            expected = self.alone(*self.JOB)
        self.assertEqual(weights(run), expected, err[-3000:])
        return err

    def test_a_killed_worker_is_replaced(self):
        run, process = self.begin(3)
        before = pids(run)
        os.kill(before[1], signal.SIGKILL)
        at = step_of(run)
        self.wait_for(lambda: step_of(run) > at + 2 or process.poll() is not None, process)
        self.wait_for(lambda: pids(run).get(1) not in (None, before[1]), process)
        after = pids(run)
        self.assertEqual((after[0], after[2]), (before[0], before[2]), "survivors are not restarted")
        err = self.finish(run, process)
        self.assertIn("rank 1 was ended by signal 9", err)

    def test_the_lead_may_die(self):
        run, process = self.begin(3)
        os.kill(pids(run)[0], signal.SIGKILL)
        self.finish(run, process)

    def test_who_comes_waits_for_those_that_hold_the_state(self):
        """Two workers are stopped, and a third comes: it does not begin anew."""
        run = self.folder / "run"
        arguments = ("worker", *self.JOB, "--data", MNIST, "--out", run, "--ledger", "--threads", 1, "--rendezvous",
                     f"file://{self.folder}/meeting")

        def begin(rank, workers):
            worker = start(*arguments, "--workers", workers, env={"INGOT_RANK": str(rank), "INGOT_TOKEN": "secret"})
            self.addCleanup(lambda: worker.poll() is None and worker.kill())
            return worker

        workers = [begin(rank, 2) for rank in range(2)]
        self.wait_for(lambda: step_of(run) >= 40, *workers)
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        workers.append(begin(2, 3))
        time.sleep(3)
        for worker in workers[:2]:
            worker.send_signal(signal.SIGCONT)
        errors = [finish(worker, arguments)[1] for worker in workers]
        self.assertEqual([worker.returncode for worker in workers], [0, 0, 0], errors)
        self.assertIn("none of the 1 workers here holds the state of the run", errors[2])
        self.check_ledger(run, self.SAMPLES)
        self.assertEqual(weights(run), self.alone(*self.JOB))

    def test_a_stopped_worker_is_left_out_and_comes_back(self):
        run, process = self.begin(3)
        stopped = pids(run)[2]
        os.kill(stopped, signal.SIGSTOP)
        try:
            time.sleep(0.7)
            at = step_of(run)
            self.wait_for(lambda: step_of(run) > at + 2, process)
        finally:
            os.kill(stopped, signal.SIGCONT)
        err = self.finish(run, process)
        # Any of them may have been the coordinator: then another takes its place, and says why.
        self.assertRegex(err, r"rank 2 \(.*\) has given no sign of life|"
                              r"the coordinator \(rank 2, .*\) has given no sign of life")

    def test_a_late_worker_is_named(self):
        os.environ["INGOT_SILENCE_SECONDS"] = "20"
        self.addCleanup(os.environ.pop, "INGOT_SILENCE_SECONDS")
        run, process = self.begin(3)
        # Not the one that coordinates: that one would be replaced, and say nothing.
        coordinator = json.loads((run / "rendezvous" / "coordinator-1").read_text())["pid"]
        rank, stopped = [(name, pid) for name, pid in pids(run).items()
                         if name != "supervisor" and pid != coordinator][0]
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(stopped, signal.SIGCONT)
        err = self.finish(run, process)
        self.assertRegex(err, rf"rank {rank} \(.*\) is late: .*; ranks \d, \d wait for its part of "
                              r"the reduction of .* in step \d+")

    def test_a_worker_may_die_while_all_validate(self):
        """At any time, that is: nearly all of the time goes into validation here."""
        job = (MLP, "--epochs", 40, "--set", "logical_shards=8", "--set", "data.validation=0.9")
        alone = self.train("alone", *job)
        run = self.folder / "run"
        process = start("launch", "-n", 3, *job, "--data", MNIST, "--out", run, "--ledger")
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(run)))
        self.wait_for(lambda: step_of(run) >= 4, process)
        for victim in (2, 1):
            at = step_of(run)
            os.kill(pids(run)[victim], signal.SIGKILL)
            self.wait_for(lambda: step_of(run) > at + 4 or process.poll() is not None, process)
            if process.poll() is not None:
                break
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err[-3000:])
        self.assertEqual(weights(run), weights(alone))
        self.assertEqual(validations(run), validations(alone))

    def test_the_supervisor_may_die(self):
        run, process = self.begin(2)
        before = pids(run)
        process.kill()
        process.wait()
        self.addCleanup(end_all, run)
        until = time.monotonic() + 30
        while pids(run).get("supervisor") == before["supervisor"] and time.monotonic() < until:
            time.sleep(0.01)
        self.assertNotEqual(pids(run)["supervisor"], before["supervisor"])
        os.kill(pids(run)[1], signal.SIGKILL)
        while not (run / "summary.json").exists() and time.monotonic() < until + PATIENCE_S:
            time.sleep(0.05)
        self.check_ledger(run, self.SAMPLES)
        self.assertEqual(weights(run), self.alone(*self.JOB))

    def test_the_supervisor_may_die_while_a_worker_is_stopped(self):
        """The system sends SIGHUP to the stopped one, which must not end the run."""
        run, process = self.begin(3)
        stopped = pids(run)[2]
        os.kill(stopped, signal.SIGSTOP)
        at = step_of(run)
        self.wait_for(lambda: step_of(run) > at + 3, process)
        process.kill()
        process.communicate()
        self.addCleanup(end_all, run)
        self.wait_for((run / "summary.json").exists, every=0.05)
        self.check_ledger(run, self.SAMPLES)
        self.assertEqual(summary(run)["epochs"], 60)
        self.assertEqual(weights(run), self.alone(*self.JOB))

    def test_kill_storm(self):
        """A random process is killed or stopped every second, for a while."""
        job = (MLP, "--epochs", 100000, "--set", "logical_shards=8")
        run = self.folder / "run"
        process = start("launch", "-n", 4, *job, "--data", MNIST, "--out", run, "--ledger")
        self.addCleanup(end_all, run)
        self.wait_for(lambda: step_of(run) >= 5, process)
        stopped, pauses = [], []
        end = time.monotonic() + STORM_SECONDS
        while time.monotonic() < end:
            victims = pids(run)
            name = random.choice(sorted(victims, key=str))
            how = random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
            at = step_of(run)
            began = time.monotonic()
            if not signal_process(victims[name], how):
                continue
            if how == signal.SIGSTOP:
                stopped.append(victims[name])
            while step_of(run) <= at + 1 and time.monotonic() < began + 30:
                time.sleep(0.001)
            if name != "supervisor":
                pauses.append((time.monotonic() - began, name, how.name))
            time.sleep(max(0, began + 1 - time.monotonic()))
            while stopped and random.random() < 0.7:
                signal_process(stopped.pop(), signal.SIGCONT)
        for pid in stopped:
            signal_process(pid, signal.SIGCONT)
        pauses.sort()
        self.assertGreater(len(pauses), STORM_SECONDS / 10, "that was no storm")
        print(f"{len(pauses)} losses, median pause {pauses[len(pauses) // 2][0] * 1000:.0f} ms, "
              f"longest {pauses[-1]}")
        # It would run for ever: Ctrl-C ends it after the step at hand. A second one would end a worker
        # at once, and another would take its place: it comes late.
        deadline = time.monotonic() + PATIENCE_S
        asked = {}
        while not (run / "summary.json").exists() and time.monotonic() < deadline:
            for name, pid in pids(run).items():
                now = time.monotonic()
                if name == "supervisor" or now - asked.get(pid, -math.inf) < 20:
                    continue
                asked[pid] = now
                signal_process(pid, signal.SIGINT)
            time.sleep(0.2)
        self.assertTrue((run / "summary.json").exists())
        lines = self.ledger(run)
        steps = summary(run)["steps"]
        self.assertEqual(len(lines), steps)
        used = collections.defaultdict(list)
        for line in lines:
            used[line["epoch"]] += line["samples"]
        whole = [samples for epoch, samples in used.items() if epoch < max(used)]
        for samples in whole:
            self.assertEqual(len(set(samples)), self.SAMPLES)
            self.assertEqual(len(samples), self.SAMPLES)
        alone = self.train("alone", MLP, "--set", "logical_shards=8", "--set", f"steps={steps}",
                           "--epochs", 0)
        last = sorted(path for path in (run / "checkpoints").iterdir() if "step-" in path.name)[-1]
        digest = hashlib.sha256((last / "model.safetensors").read_bytes()).hexdigest()
        self.assertEqual(digest, weights(alone))

    def test_storms_over_short_epochs(self):
        """Losses at the ends of epochs, too, and while state goes from one worker to another."""
        job = (MLP, "--epochs", 60, "--set", "logical_shards=8", "--set", "data.validation=0.9")
        alone = self.train("alone", *job)
        end = time.monotonic() + STORM_SECONDS / 2
        runs = 0
        while runs == 0 or time.monotonic() < end:
            run = self.folder / f"run-{runs}"
            process = start("launch", "-n", 3, *job, "--data", MNIST, "--out", run, "--ledger")
            self.addCleanup(lambda p=process, r=run: p.poll() is None and (p.kill(), end_all(r)))
            self.wait_for(lambda: step_of(run) >= 1, process)
            self.disturb(run, process, losses=12)
            _, err = finish(process, ("--out", run))
            self.assertEqual(process.returncode, 0, err[-3000:])
            self.assertEqual(weights(run), weights(alone), err)
            self.assertEqual(validations(run), validations(alone), err)
            runs += 1

    def disturb(self, run, process, losses):
        """A random worker is killed, or stopped for a while, every eighth of a second."""
        killed, stopped = collections.Counter(), []
        while process.poll() is None and (losses > 0 or stopped):
            victim = random.randrange(3)
            pid = pids(run).get(victim)
            if losses > 0 and pid is not None:
                kills = killed[victim] < 3 and random.random() < 0.33  # one that dies more often stays away
                if signal_process(pid, signal.SIGKILL if kills else signal.SIGSTOP):
                    losses -= 1
                    killed[victim] += kills
                    if not kills:
                        stopped.append((time.monotonic() + 0.8 * random.random(), pid))
            time.sleep(0.25 * random.random())
            due = [entry for entry in stopped if entry[0] < time.monotonic()]
            for entry in due:
                signal_process(entry[1], signal.SIGCONT)
                stopped.remove(entry)


def signal_process(pid, number):
    """Whether it was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
