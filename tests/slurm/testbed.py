"""A real Slurm on this one host, for tests: controller, virtual nodes and munge as child processes on loopback ports.

    with Testbed(folder, nodes=3) as bed: …        # bed.environ has SLURM_CONF
    python tests/slurm/testbed.py FOLDER           # by hand: runs until Ctrl-C and prints what to export

Daemons run in the foreground as children and are told to end when this process ends, however it ends. They listen on
127.0.0.1 only, use ports that were free, and keep keys, state and logs in FOLDER; the system's own munge and Slurm are
not touched. Nodes are virtual: as many slurmds on one host, each with a name and a port of its own. Job numbers begin
where no former testbed's did, because MPICH leaves shared memory behind that is named by job and step.
"""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
ACCOUNTING = ("mariadbd", "mariadb-install-db", "slurmdbd", "sacctmgr")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0

CONFIG = """\
ClusterName=hpckit
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
MpiDefault=none
ReturnToService=2
FirstJobId={first_job}
SlurmdTimeout=10
SlurmdParameters=config_overrides
MinJobAge={min_job_age}
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize=101
{accounting}
{nodes}
PartitionName=DEFAULT PreemptMode=OFF PriorityTier=5
PartitionName=debug Nodes={first}[1-{count}] Default=YES MaxTime=1:00:00 State=UP
PartitionName=small Nodes={first}1 MaxNodes=1 MaxTime=5 State=UP
PartitionName=closed Nodes={first}1 State=DOWN
PartitionName=spare Nodes={first}{count} PriorityTier=1 PreemptMode=REQUEUE GraceTime=30 MaxTime=1:00:00 State=UP
PartitionName=spent Nodes={first}{count} PriorityTier=1 PreemptMode=CANCEL GraceTime=30 MaxTime=1:00:00 State=UP
"""
DATABASE = """\
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc=slurm_acct_db
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
"""


def missing(accounting: bool = False) -> str:
    """Why no testbed can be started here; "" if one can."""
    lacks = [name for name in (*DAEMONS, *(ACCOUNTING if accounting else ())) if shutil.which(name, path=PATH) is None]
    if lacks:
        packages = "slurm-wlm munge" + (" slurmdbd slurm-wlm-mysql-plugin mariadb-server" if accounting else "")
        return f"no {', '.join(lacks)}: apt-get install --no-install-recommends {packages}"
    if os.geteuid() != 0:
        return "a testbed of several nodes needs root"
    return ""


class Testbed:
    """One cluster. `kill_node` loses a node, with all that runs on it; `return_node` brings it back."""

    __test__ = False  # not a test class

    def __init__(
        self, folder: Path, nodes: int = 3, cpus: int = 4, accounting: bool = False, min_job_age: int = 600
    ) -> None:
        self.folder, self.nodes, self.cpus, self.accounting = folder, nodes, cpus, accounting
        self.min_job_age = min_job_age
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.environ = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}

    def __enter__(self) -> Testbed:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that all is ended then, too
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir(exist_ok=True)
        ports = free_ports(self.nodes + 2)
        self._start_munge()
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        values = {"host": host, "user": user, "folder": self.folder}
        accounting = "AccountingStorageType=accounting_storage/none"
        if self.accounting:
            self._start_database(ports[-1], values)
            accounting = (
                f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
                f"AccountingStoragePort={ports[-1]}\nAccountingStoragePass={self.folder}/munge.sock\n"
                "AccountingStorageEnforce=associations"
            )
        lines = [
            f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i]} CPUs={self.cpus} RealMemory=2000"
            for i in range(1, self.nodes + 1)
        ]
        text = CONFIG.format(
            **values, port=ports[0], nodes="\n".join(lines), first="n", count=self.nodes, accounting=accounting,
            min_job_age=self.min_job_age, first_job=int(time.time()) % 100_000 * 100 + 1,
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)
        self._spawn("slurmctld", "slurmctld", "-D", "-c")
        self._wait("slurmctld", lambda: self.run("scontrol", "ping").returncode == 0)
        for i in range(1, self.nodes + 1):
            self._spawn_node(f"n{i}")
        self._wait("the nodes", lambda: len(self.idle_nodes()) == self.nodes)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        if not key.exists():
            key.touch(mode=0o400)
            key.chmod(0o600)
            key.write_bytes(os.urandom(1024))
            key.chmod(0o400)
        places = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{name}={self.folder}/munge.{ending}" for name, ending in places.items()]
        self._spawn("munged", "munged", "--foreground", "--force", "--num-threads=2", *options)
        self._wait("munged", (self.folder / "munge.sock").exists)

    def _start_database(self, port: int, values: dict[str, object]) -> None:
        """A private MariaDB on a socket only, and slurmdbd on it."""
        data, sock = self.folder / "db", self.folder / "db.sock"
        if not data.exists():
            self.run(
                "mariadb-install-db", "--no-defaults", f"--user={values['user']}", f"--datadir={data}",
                "--auth-root-authentication-method=normal", "--skip-test-db", timeout_s=START_TIMEOUT_S,
            )  # fmt: skip
        self._spawn(
            "mariadbd", "mariadbd", "--no-defaults", f"--user={values['user']}", f"--datadir={data}",
            f"--socket={sock}", "--skip-networking", "--innodb-buffer-pool-size=32M", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        self._wait(
            "mariadbd", lambda: self.run("mariadb", "--no-defaults", "-S", str(sock), "-e", "select 1").returncode == 0
        )
        config = self.folder / "slurmdbd.conf"  # slurmdbd looks for it beside slurm.conf
        config.write_text(DATABASE.format(**values, port=port))
        config.chmod(0o600)
        (self.folder / "slurm.conf").write_text("ClusterName=hpckit\nSlurmctldHost=localhost\n")
        self.environ["MYSQL_UNIX_PORT"] = str(sock)
        self._spawn("slurmdbd", "slurmdbd", "-D")
        conf = self.folder / "slurm.conf"
        conf.write_text(
            f"ClusterName=hpckit\nSlurmctldHost={values['host']}(127.0.0.1)\nAuthType=auth/munge\n"
            f"AuthInfo=socket={self.folder}/munge.sock\nAccountingStorageType=accounting_storage/slurmdbd\n"
            f"AccountingStorageHost=127.0.0.1\nAccountingStoragePort={port}\nAccountingStoragePass={self.folder}/munge.sock\n"
        )
        self._wait("slurmdbd", lambda: self.run("sacctmgr", "-n", "-i", "list", "cluster").returncode == 0)
        for words in (["cluster", "hpckit"], ["account", "test"], ["user", str(values["user"]), "account=test"]):
            self.run("sacctmgr", "-n", "-i", "add", *words)

    def _spawn(self, key: str, program: str, *arguments: str) -> None:
        with open(self.folder / f"{key}.out", "ab") as output:
            self.children[key] = subprocess.Popen(
                [shutil.which(program, path=PATH) or program, *arguments],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
            )

    def _spawn_node(self, node: str) -> None:
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._spawn(node, "slurmd", "-D", "-N", node)

    def _wait(self, what: str, ready: object, limit_s: float = START_TIMEOUT_S) -> None:
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            if ready():  # type: ignore[operator]
                return
            time.sleep(0.1)
        logs = "".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in self.folder.glob("*.log")
        )
        raise TimeoutError(f"{what} did not come up within {limit_s:.0f} s\n{logs}")

    def run(self, *words: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """A program with this cluster's environment."""
        return subprocess.run(
            list(words), env=self.environ, capture_output=True, text=True, check=False, timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def idle_nodes(self) -> list[str]:
        """Names of the nodes that wait for work."""
        return self.run("sinfo", "-h", "-N", "-p", "debug", "-t", "idle", "-o", "%N").stdout.split()

    def kill_node(self, node: str) -> int:
        """SIGKILL for the node's daemon and all that runs on it, as a power cut would do; how many processes."""
        victims = {self.children[node].pid, *self._processes_on(node)}
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.children[node].wait()
        return len(victims)

    def _processes_on(self, node: str) -> set[int]:
        """Ranks of this cluster on `node` and the step daemons above them."""
        found: set[int] = set()
        marks = {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={self.environ['SLURM_CONF']}".encode()}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError, ValueError):
                if marks <= set((entry / "environ").read_bytes().split(b"\0")):
                    found.add(int(entry.name))
                    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                    if Path(f"/proc/{parent}/cmdline").read_bytes().startswith(b"slurmstepd"):
                        found.add(int(parent))
        return found - {os.getpid()}

    def return_node(self, node: str) -> None:
        """Start the node's daemon again and wait until the controller has it back."""
        self._spawn_node(node)
        self._wait(f"node {node}", lambda: node in self.idle_nodes())

    def end(self, daemon: str) -> None:
        """End one daemon."""
        child = self.children.pop(daemon)
        child.terminate()
        child.wait(STOP_TIMEOUT_S)

    def forget_jobs(self) -> None:
        """Start the controller anew with an empty memory, as if all jobs had ended long ago."""
        self.end("slurmctld")
        self._spawn("slurmctld", "slurmctld", "-D", "-c")
        self._wait("slurmctld", lambda: self.run("scontrol", "ping").returncode == 0)
        self._wait("the nodes", lambda: len(self.idle_nodes()) == self.nodes)

    def pause(self, daemon: str = "slurmctld") -> None:
        """Stop a daemon in its tracks: it neither answers nor refuses."""
        os.kill(self.children[daemon].pid, signal.SIGSTOP)

    def go_on(self, daemon: str = "slurmctld") -> None:
        """Let a paused daemon go on."""
        os.kill(self.children[daemon].pid, signal.SIGCONT)

    def stop(self) -> None:
        """End all jobs and daemons, and whatever a job has left behind."""
        if "slurmctld" in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.run("scancel", f"--user={getpass.getuser()}", timeout_s=5)
                deadline_s = time.monotonic() + 5
                while self.run("squeue", "-h", timeout_s=5).stdout.strip() and time.monotonic() < deadline_s:
                    time.sleep(0.2)
        for i in range(1, self.nodes + 1):
            for pid in self._processes_on(f"n{i}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for child in reversed(self.children.values()):
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.clear()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def main() -> None:
    """A testbed by hand."""
    reason = missing()
    if reason or len(sys.argv) < 2:
        sys.exit(reason or "usage: python tests/slurm/testbed.py FOLDER [NODES]")
    with Testbed(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 3) as bed:
        print(f"export SLURM_CONF={bed.environ['SLURM_CONF']}      (Ctrl-C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
