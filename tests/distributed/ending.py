"""How `ingot launch` ends when it is interrupted: after the step at hand, or in any case soon."""

import os
import signal
import time

from harness import MLP, MNIST, Distributed, end_all, finish, pids, running, start, step_of


class Ending(Distributed):
    """Workers that cannot end by themselves do not keep `ingot launch`."""

    JOB = (MLP, "--data", MNIST, "--epochs", 100000, "--set", "logical_shards=8")

    def begin(self, *options, env=None):
        run = self.folder / "run"
        process = start("launch", "-n", 3, *self.JOB, "--out", run, "--ledger", "--threads", 1, *options, env=env)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), end_all(run)))
        self.wait_for(lambda: step_of(run) >= 3, process)
        return run, process

    def nothing_runs(self, run):
        self.assertEqual(running(f"--out={run}"), [], "a worker was left behind")
        self.assertEqual(running(f"supervise {run}"), [], "a supervisor was left behind")

    def test_workers_that_hang_in_an_exchange(self):
        """One is stopped, and the others are patient: they wait for its part."""
        run, process = self.begin("--grace", 1, env={"INGOT_SILENCE_SECONDS": "1000"})
        os.kill(pids(run)[1], signal.SIGSTOP)
        at = -1
        while at != step_of(run):
            at = step_of(run)
            time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 130, err)
        self.assertGreater(time.monotonic() - began, 0.9, "they had no time")
        self.assertIn("warning: rank 1 has not ended in the 1 s since the interrupt: it is ended", err)
        self.nothing_runs(run)

    def test_a_stopped_worker_does_not_outlive_the_others(self):
        run, process = self.begin("--grace", 1)
        stopped = pids(run)[2]
        os.kill(stopped, signal.SIGSTOP)
        at = step_of(run)
        self.wait_for(lambda: step_of(run) > at + 3, process)
        process.send_signal(signal.SIGINT)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("rank 2 has not ended", err)
        self.assertTrue(any((run / "checkpoints").iterdir()), "the others have ended well")
        self.nothing_runs(run)

    def test_a_stopped_worker_does_not_outlive_a_run_that_is_done(self):
        run, process = self.begin("--grace", 1, "--set", "steps=400", "--epochs", 0)
        os.kill(pids(run)[2], signal.SIGSTOP)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("warning: rank 2 has not ended in the 1 s since the run's end: it is ended", err)
        self.assertTrue((run / "summary.json").exists())
        self.nothing_runs(run)

    def test_a_worker_that_stays_away_does_not_spoil_the_run(self):
        run, process = self.begin("--set", "steps=4000", "--epochs", 0)
        killed = set()
        while process.poll() is None:
            pid = pids(run).get(2)
            if pid is not None and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.01)
        _, err = finish(process, ("--out", run))
        self.assertIn("at its start and stays away", err)
        self.assertEqual(process.returncode, 0, err)
        self.nothing_runs(run)

    def test_a_second_interrupt_ends_all_at_once(self):
        run, process = self.begin("--grace", 1000, env={"INGOT_SILENCE_SECONDS": "1000"})
        os.kill(pids(run)[1], signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.assertIsNone(process.poll(), "it waits for the workers")
        process.send_signal(signal.SIGINT)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 130, err)
        self.assertRegex(err, "interrupted again: ended [123] workers? at once")
        self.nothing_runs(run)
