"""`ingot launch --hosts`: workers that ssh starts on other machines.

Most tests have a script in the place of ssh, which runs the command here; one has OpenSSH's server on
this machine, with keys of its own.
"""

import getpass
import os
import pathlib
import shutil
import signal
import subprocess

from harness import (INGOT, MLP, MNIST, PATIENCE_S, PATIENT, Distributed, Done, finish, free_port, pids, running,
                     start, step_of, summary, weights)

FAKE_SSH = """#!/bin/sh
# As `ssh HOST WORDS`: a host is lost while a file HOST.down lies beside this script.
here=$(dirname "$0")
host=$1
shift
echo "$host $*" >> "$here/log"
if [ "$host" = nowhere ]; then
  echo "ssh: Could not resolve hostname nowhere: Name or service not known" >&2
  exit 255
fi
if [ -e "$here/$host.down" ]; then
  echo "ssh: connect to host $host port 22: No route to host" >&2
  exit 255
fi
exec sh -c "$*"
"""


class Hosts(Distributed):
    JOB = (MLP, "--data", MNIST, "--set", "logical_shards=8")

    def setUp(self):
        super().setUp()
        self.ssh = self.folder / "ssh"
        self.ssh.write_text(FAKE_SSH)
        self.ssh.chmod(0o755)

    def log(self):
        return (self.folder / "log").read_text()

    def begin(self, hosts, *options):
        run = self.folder / "run"
        process = start("launch", "--hosts", hosts, *self.JOB, "--out", run, "--ledger", "--threads", 1,
                        *options, env={"INGOT_SSH": str(self.ssh)})
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.wait_for(lambda: step_of(run) >= 5, process)
        return run, process

    def wait_until_nothing_runs(self, run):
        self.wait_for(lambda: not running(f"--out={run}"), every=0.05, otherwise="a worker was left behind")

    def test_two_hosts(self):
        run = self.folder / "run"
        done = Done("launch", "--hosts", "a:2,b:2", *self.JOB, "--epochs", 1, "--out", run, "--ssh", self.ssh,
                    env=PATIENT)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 1, "--set", "logical_shards=8"))
        self.assertEqual(summary(run)["samples_per_rank"], [500] * 4)
        self.assertFalse((run / "samples.jsonl").exists(), "nobody asked for a ledger")
        self.assertEqual([line.split()[0] for line in self.log().splitlines()].count("b"), 2)
        token = (run / "rendezvous" / "token").read_text()
        self.assertEqual(len(token), 32)
        self.assertNotIn(token, self.log(), "the token stands in no arguments")
        self.assertNotIn(token, done.err)
        self.assertRegex(done.err, r"\[rank 0 a\] .*training")

    def test_a_lost_host(self):
        run, process = self.begin("a:1,b:2", "--epochs", 60)
        lines = [line.split() for line in (run / "pids").read_text().splitlines()]
        there = [int(words[2]) for words in lines if words[-1] == "b"]
        self.assertEqual(len(there), 2, lines)
        (self.folder / "b.down").touch()
        for pid in there:
            os.kill(pid, signal.SIGKILL)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 0, err)
        self.assertRegex(err, "warning: rank [12] on host b is lost")
        self.assertIn("warning: host b is lost", err)
        self.check_ledger(run, 2000)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 60, "--set", "logical_shards=8"))
        self.wait_until_nothing_runs(run)

    def test_a_host_that_comes_back_is_used_again(self):
        run, process = self.begin("a:1,b:1", "--epochs", 200)
        before = pids(run)[1]
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: pids(run).get(1) not in (None, before), process)
        process.send_signal(signal.SIGINT)
        finish(process, ("--out", run))
        self.wait_until_nothing_runs(run)

    def test_a_host_that_does_not_answer(self):
        run = self.folder / "run"
        done = Done("launch", "--hosts", "a:1,nowhere:1", *self.JOB, "--out", run, "--ssh", self.ssh)
        self.assertEqual(done.status, 1, done.err)
        self.assertIn("error: cannot start rank 1 on host 'nowhere': ssh: Could not resolve hostname", done.err)
        self.wait_until_nothing_runs(run)

    def test_a_job_that_is_wrong_is_said_once(self):
        done = Done("launch", "--hosts", "a:2", *self.JOB, "--out", self.folder / "run", "--ssh", self.ssh,
                    "--set", "optimizer.adam.learning_rate=1e38", "--epochs", 3)
        self.assertEqual(done.status, 1, done.err)
        self.assertEqual(done.err.count("error:"), 1, done.err)

    def test_interrupted(self):
        run, process = self.begin("a:1,b:1", "--epochs", 200)
        process.send_signal(signal.SIGINT)
        _, err = finish(process, ("--out", run))
        self.assertEqual(process.returncode, 130, err)
        self.assertTrue(any((run / "checkpoints").iterdir()))
        self.wait_until_nothing_runs(run)

    def test_workers_end_when_launch_is_killed(self):
        run, process = self.begin("a:1,b:1", "--epochs", 200)
        process.kill()
        process.communicate(timeout=PATIENCE_S)
        self.wait_until_nothing_runs(run)
        self.assertTrue(any((run / "checkpoints").iterdir()))

    def test_bad_arguments(self):
        for options, pattern in (
                (("--hosts", "a:0"), "'0' workers on a, expected a whole number of 1 or more"),
                (("--hosts", "a:x"), "'x' workers on a"),
                (("--hosts", "a,,b"), "a host without a name"),
                (("--hosts", "a:1,a:2"), "names a twice"),
                (("--hosts", "-oProxyCommand=x"), "no name of a host"),
                (("--hosts", "a:1", "-n", 2), "exclude each other"),
                (("--hosts", "a:1", "--ssh", " "), "--ssh: the command is empty"),
                (("--ssh", "x"), "--ssh goes with --hosts alone")):
            done = Done("launch", *options, *self.JOB, "--out", self.folder / "run")
            self.assertEqual(done.status, 2, (options, done.err))
            self.assertRegex(done.err, pattern)
        done = Done("launch", "--hosts", "a", *self.JOB, "--out", self.folder / "run", "--ssh", "/no/such/ssh")
        self.assertEqual(done.status, 1, done.err)
        self.assertIn("cannot start /no/such/ssh: No such file or directory", done.err)

    def test_openssh(self):
        server = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if server is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
            self.skipTest("OpenSSH (openssh-server) is not installed")
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # where sshd wants to be when it is root
        keys = self.folder / "keys"
        keys.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
        shutil.copy(keys / "user.pub", keys / "authorized")
        port = free_port()
        (keys / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {keys}/authorized\nPasswordAuthentication no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\n")
        daemon = subprocess.Popen([server, "-D", "-e", "-f", keys / "config"], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (daemon.kill(), daemon.wait()))
        command = (f"ssh -p {port} -i {keys}/user -o BatchMode=yes -o StrictHostKeyChecking=no "
                   f"-o UserKnownHostsFile={keys}/known -o IdentitiesOnly=yes -o LogLevel=ERROR "
                   f"-o ConnectionAttempts=20")
        check = subprocess.run([*command.split(), f"{getpass.getuser()}@127.0.0.1", "true"],
                               capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        if check.returncode != 0:
            self.skipTest(f"sshd does not let this user in here: {check.stderr.strip()}")
        run = self.folder / "run"
        done = Done("launch", "--hosts", f"127.0.0.1:1,{getpass.getuser()}@127.0.0.1:1", *self.JOB,
                    "--epochs", 1, "--out", run, "--ssh", command, "--program", INGOT, env=PATIENT)
        self.assertEqual(done.status, 0, done.err)
        self.assertEqual(weights(run), self.alone(MLP, "--epochs", 1, "--set", "logical_shards=8"))
        self.assertEqual(summary(run)["samples_per_rank"], [1000, 1000])
