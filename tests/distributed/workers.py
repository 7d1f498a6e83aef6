"""Workers that schedulers start, and those that do not belong."""

import gzip
import json
import shutil
import signal
import socket

from harness import (MLP, MNIST, PATIENT, Distributed, Done, finish, free_port, running, start, step_of, summary,
                     weights)


class Workers(Distributed):
    """Workers that others start, and those that do not belong."""

    OPTIONS = (MLP, "--data", MNIST, "--epochs", 1, "--set", "logical_shards=8")

    def run_all(self, verb, environments, *options, job=OPTIONS):
        run = self.folder / "run"
        arguments = (verb, *job, "--out", run, *options)
        processes = [start(*arguments, env=environment) for environment in environments]
        for process in processes:
            self.addCleanup(lambda p=process: p.poll() is None and p.kill())
        ended = [finish(process, arguments) for process in processes]
        for process, (_, err) in zip(processes, ended):
            self.assertEqual(process.returncode, 0, err)
        self.assertEqual(weights(run), self.alone(*job))
        return run

    def test_file_rendezvous(self):
        url = f"file://{self.folder}/meeting"
        run = self.run_all("worker", [{"INGOT_TOKEN": "secret"}] * 3, "--rendezvous", url,
                           "--workers", 3)
        self.assertEqual(sorted(summary(run)["samples_per_rank"]), [500, 750, 750])

    def test_one_group_is_formed_at_the_start(self):
        """Who finds the coordinator just as it says that it is ready says so once."""
        for attempt in range(12):
            run = self.folder / f"run-{attempt}"
            done = Done("launch", "-n", 4, *self.OPTIONS, "--out", run, "--set", "steps=1", "--threads", 1)
            self.assertEqual(done.status, 0, done.err)
            self.assertNotIn("a new group is formed", done.out + done.err)

    def test_a_folder_of_a_job_that_has_ended(self):
        url = f"file://{self.folder}/meeting"
        self.run_all("worker", [{"INGOT_TOKEN": "secret"}] * 2, "--rendezvous", url, "--workers", 2)
        done = Done("worker", *self.OPTIONS, "--out", self.folder / "again", "--rendezvous", url,
                    env={"INGOT_TOKEN": "secret"})
        self.assertIn("the job of this rendezvous has ended already", done.err)
        self.assertNotIn("takes over", done.err)
        self.assertFalse((self.folder / "again" / "checkpoints" / "final").exists())

    def test_tcp_rendezvous(self):
        url = f"tcp://127.0.0.1:{free_port()}"
        self.run_all("worker", [{"INGOT_TOKEN": "secret"}] * 2, "--rendezvous", url, "--workers", 2)

    def test_torchrun(self):
        port = str(free_port())
        self.run_all("train", [{"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                                "MASTER_PORT": port} for rank in range(2)])

    def test_open_mpi(self):
        self.run_all("train", [{"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "2",
                                "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": self.folder.name}
                               for rank in range(2)])

    def test_slurm(self):
        run = self.run_all("train", [{"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "2",
                                      "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": self.folder.name,
                                      "SLURM_STEP_ID": "0", "INGOT_HOST": "127.0.0.1"} for rank in range(2)])
        self.assertEqual(len(summary(run)["samples_per_rank"]), 2)

    def test_slurm_with_a_place_to_meet(self):
        """As a script does that leaves the step's own variables out."""
        port = str(free_port())
        self.run_all("worker", [{"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_NODELIST": "localhost",
                                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} for rank in range(2)])

    def test_a_batch_script_of_slurm_is_one_process(self):
        run = self.folder / "run"
        done = Done("train", *self.OPTIONS, "--out", run, env={"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
        self.assertEqual(done.status, 0, done.err)

    def refused(self, pattern, *options, token="secret"):
        """A second worker, which is not to be let in."""
        url = f"file://{self.folder}/meeting"
        common = ("--rendezvous", url, "--workers", 2)
        first = start("worker", *self.OPTIONS, "--out", self.folder / "run", *common,
                      env={"INGOT_TOKEN": "secret"})
        self.addCleanup(first.kill)
        self.wait_for(lambda: (self.folder / "meeting" / "card").exists(), first)
        done = Done("worker", *self.OPTIONS, "--out", self.folder / "other", *common, *options,
                    env={"INGOT_TOKEN": token})
        self.assertEqual(done.status, 2, done.err)
        self.assertRegex(done.err, pattern)
        self.assertNotIn("secret", done.err)
        first.kill()
        first.communicate(timeout=10)

    def test_another_token_is_refused(self):
        self.refused("the token is not that of this job", token="guess")

    def test_another_job_is_refused(self):
        self.refused(r"its job is another one: it has \w+, the job \w+", "--set", "data.batch=64")

    def test_another_number_of_steps_is_refused(self):
        """Workers that do not end at the same step would wait for each other for ever."""
        self.refused(r"its job is another one: it has \w+, the job \w+", "--set", "steps=20")

    def test_a_rank_that_is_taken_is_refused(self):
        environment = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        options = ("train", *self.OPTIONS, "--epochs", 400, "--out", self.folder / "run")
        first = start(*options, env={**environment, "INGOT_START_SECONDS": "0.1"})
        self.addCleanup(first.kill)
        metrics = self.folder / "run" / "metrics.jsonl"
        self.wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, first)
        done = Done(*options, env=environment)
        self.assertEqual(done.status, 2, done.err)
        self.assertRegex(done.err, r"rank 0 is process \d+ of this machine already")
        first.kill()
        first.communicate(timeout=10)

    def test_ranks_that_cannot_be(self):
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
        for environment, pattern in (({"RANK": "5", "WORLD_SIZE": "2"}, "process 5 of 2"),
                                     ({"RANK": "1.5", "WORLD_SIZE": "2"}, "RANK=1.5"),
                                     ({"RANK": "0", "WORLD_SIZE": "99999999999"}, "WORLD_SIZE=99999999999")):
            done = Done("train", *self.OPTIONS, "--out", self.folder / "run", env={**environment, **meeting})
            self.assertEqual(done.status, 2, done.err)
            self.assertIn(pattern, done.err)

    def test_workers_that_cannot_all_be_started_are_ended(self):
        run = self.folder / "run-without-pipes"
        arguments = ("launch", "-n", 20, *self.OPTIONS, "--out", run)
        # Whoever is left holds the output open, and the wait for its end would not end.
        process = start(*arguments, under=("prlimit", "--nofile=14"))
        _, err = finish(process, arguments)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn("Too many open files", err)
        self.assertEqual(running(str(run)), [])

    def test_other_data_are_refused(self):
        other = self.folder / "data"
        shutil.copytree(MNIST, other)
        images = other / "train-images-idx3-ubyte.gz"
        raw = bytearray(gzip.decompress(images.read_bytes()))
        for at in range(16, len(raw), 7):
            raw[at] ^= 255
        images.write_bytes(gzip.compress(bytes(raw)))
        self.refused(r"its training data is another one: it has [\w-]+, the job [\w-]+", "--data", other)

    def test_another_version_is_refused(self):
        """A worker of another version, played by this test."""
        meeting = self.folder / "meeting"
        first = start("worker", *self.OPTIONS, "--out", self.folder / "run", "--rendezvous",
                      f"file://{meeting}", "--workers", 2, env={"INGOT_TOKEN": "secret"})
        self.addCleanup(first.kill)
        self.wait_for(lambda: (meeting / "card").exists(), first)
        record = json.loads(sorted(meeting.glob("coordinator-*"))[-1].read_text())
        card = json.loads((meeting / "card").read_text())
        with socket.create_connection((record["host"], record["port"]), timeout=60) as connection:
            hello = {"type": "hello", "token": "secret", "id": "another", "slot": 1, "pid": 1, **card,
                     "version": "9.9.9"}
            connection.sendall(json.dumps(hello).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
        self.assertEqual(answer["type"], "refused")
        self.assertEqual(answer["error"], "its version of Ingot is another one: it has 9.9.9, the job " + card["version"])
        first.kill()
        first.communicate(timeout=10)

    def test_a_port_that_is_in_use(self):
        """By a program that takes connections and says nothing."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(64)
            done = Done("worker", *self.OPTIONS, "--out", self.folder / "run", "--workers", 2, "--rendezvous",
                        f"tcp://127.0.0.1:{server.getsockname()[1]}")
        self.assertEqual(done.status, 1, done.err)
        self.assertRegex(done.err, r"another program listens at tcp://127.0.0.1:\d+")
        self.assertIn("hint: the port is in use", done.err)

    def test_two_runs_in_one_folder(self):
        run = self.folder / "run"
        first = start("launch", "-n", 2, *self.OPTIONS, "--out", run, "--epochs", 2000)
        self.addCleanup(first.kill)
        self.wait_for(lambda: (run / "job.yaml").exists(), first)
        for options, pattern in (((), "is not empty"), (("--overwrite",), "in use by another run")):
            done = Done("launch", "-n", 2, *self.OPTIONS, "--out", run, *options)
            self.assertEqual(done.status, 2, done.err)
            self.assertRegex(done.err, pattern)
        first.send_signal(signal.SIGINT)
        self.assertEqual(finish(first, ("--out", run))[1].count("error:"), 0)

    def test_a_spare_takes_the_place_of_a_lost_worker(self):
        run = self.folder / "run"
        options = (MLP, "--data", MNIST, "--epochs", 60, "--set", "logical_shards=2", "--threads", 1)
        arguments = ("worker", *options, "--out", run, "--ledger", "--workers", 3, "--rendezvous",
                     f"file://{self.folder}/meeting")
        workers = [start(*arguments, env={"INGOT_RANK": str(rank), **PATIENT})
                   for rank in range(3)]
        for process in workers:
            self.addCleanup(lambda p=process: p.poll() is None and p.kill())
        self.wait_for(lambda: step_of(run) >= 5, workers[0])
        workers[1].kill()
        errors = [workers[1].communicate(timeout=60)[1]]
        errors += [finish(process, arguments)[1] for process in (workers[0], workers[2])]
        self.assertEqual([workers[0].returncode, workers[2].returncode], [0, 0], errors)
        self.assertRegex("".join(errors), r"rank 2 .* stands by: the job is for 2 workers at most")
        lines = self.check_ledger(run, 2000)
        self.assertEqual([rank for rank, _ in lines[0]["ranks"]], [0, 1])
        self.assertEqual([rank for rank, _ in lines[-1]["ranks"]], [0, 2])
        self.assertEqual(weights(run), self.alone(*options))

    def test_bad_arguments(self):
        for arguments, pattern in (
                (("launch", "-n", 0, MLP), "expected a whole number of 1 or more, got '0'"),
                (("launch", "-n", 100000, MLP), "100000 workers are too many for this machine"),
                (("worker", MLP), "needs --rendezvous URL"),
                (("worker", MLP, "--rendezvous", "http://x"), "is no address of a rendezvous"),
                (("worker", MLP, "--rendezvous", "tcp://x:99999999"), "is no address of a rendezvous"),
                (("worker", MLP, "--rendezvous", "tcp://no-such-host.invalid:29400"), "is not known here"),
                (("launch", "-n", 2, MLP, "--set", "data.batch=-1"), "data.batch"),
                (("top", self.folder), "is no run directory")):
            done = Done(*arguments)
            self.assertEqual(done.status, 2, (arguments, done.err))
            self.assertRegex(done.err, pattern)
        done = Done("worker", MLP, "--rendezvous", "tcp://no-such-host.invalid:29400", env={"INGOT_HOST": "127.0.0.1"})
        self.assertEqual((done.status, "is not known here" in done.err), (2, True), done.err)

    def test_not_a_number_is_reported_with_its_rank(self):
        done = Done("launch", "-n", 2, MLP, "--data", MNIST, "--out", self.folder / "run", "--epochs", 3,
                    "--set", "optimizer.adam.learning_rate=1e38", "--set", "logical_shards=8")
        self.assertEqual(done.status, 1, done.err)
        self.assertRegex(done.err, "numerically unstable at step")
        self.assertEqual(done.err.count("error:"), 1, done.err)
