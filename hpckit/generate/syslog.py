"""System messages of a cluster's nodes: what sshd, the kernel, systemd, cron and the batch daemon say."""

from __future__ import annotations

from typing import Any

from hpckit.generate.events import DAEMON, NO_PID, PROCESS, Template, compile_templates
from hpckit.generate.tables import listed, zipf

HOSTS = [f"login{i}" for i in range(1, 5)] + ["mgmt1", "mgmt2", "fs1", "fs2"] + [f"node{i:03d}" for i in range(1, 193)]
UPTIME = "{d:1000-9999999}.{d:100000-999999}"
WORDS = {
    "user": listed("anna ben chen dora emil farid gita hugo ines jan kira liam mona nils olga"),
    "guest": listed("admin test oracle guest ubuntu pi git deploy backup ftpuser postgres"),
    "unit": listed("munge chronyd node_exporter sssd nfs-client lustre slurmd tuned irqbalance"),
    "program": listed("solver mpirun python3 lmp gmx vasp_std cp2k ior"),
    "device": listed("nvme0n1 sda sdb md0 dm-3"),
    "nic": listed("eth0 eth1 ib0 ib1"),
    "job": listed("hourly.sh logrotate sa1 check_quota purge_scratch"),
    "mount": listed("/home /scratch /apps /var/spool"),
    "cause": listed("timeout reset refused unreachable"),
}

# program, pid, [(share of the program's lines, mean burst, message)]
PROGRAMS: list[tuple[str, int, float, list[tuple[int, int, str]]]] = [
    ("sshd", PROCESS, 0.30, [
        (30, 25, "Failed password for invalid user {w:guest} from {ip:900} port {d:1024-65535} ssh2"),
        (12, 12, "Failed password for root from {ip:900} port {d:1024-65535} ssh2"),
        (12, 8, "Invalid user {w:guest} from {ip:900} port {d:1024-65535}"),
        (12, 3, "Connection closed by authenticating user root {ip:900} port {d:1024-65535} [preauth]"),
        (10, 1, "Accepted publickey for {w:user} from {ip:200} port {d:1024-65535} ssh2: ED25519 SHA256:{x:16}{x:16}"),
        (9, 1, "pam_unix(sshd:session): session opened for user {w:user}(uid={d:1000-4000}) by (uid=0)"),
        (9, 1, "pam_unix(sshd:session): session closed for user {w:user}"),
        (4, 2, "Received disconnect from {ip:900} port {d:1024-65535}:11: Bye Bye [preauth]"),
        (2, 1, "error: kex_exchange_identification: Connection {w:cause} by remote host"),
    ]),
    ("kernel", NO_PID, 0.22, [
        (10, 6, "[UPTIME] {w:program}[{d:4000-99999}]: segfault at {x:12} ip {x:12} sp {x:12} error {d:4-7}"),
        (20, 30, "[UPTIME] EDAC MC{d:0-3}: 1 CE memory read error on CPU_SrcID#{d:0-1}_Channel#{d:0-5}"),
        (14, 9, "[UPTIME] LustreError: {d:1000-30000}:0:(client.c:{d:100-3000}) request {w:cause}, xid {x:14}"),
        (16, 4, "[UPTIME] {w:nic}: link becomes ready, {d:10-400} Gb/s"),
        (12, 3, "[UPTIME] Out of memory: Killed process {d:4000-99999} ({w:program}) total-vm:{m:26}kB"),
        (14, 8, "[UPTIME] I/O error, dev {w:device}, sector {m:34} op 0x0:(READ)"),
        (8, 2, "[UPTIME] nfs: server fs{d:1-2} not responding, still trying"),
        (6, 2, "[UPTIME] perf: interrupt took too long ({d:2500-9000} > {d:2400-2500}), lowering the rate"),
    ]),
    ("systemd", DAEMON, 0.14, [
        (35, 2, "Started {w:unit}.service."), (25, 2, "Stopping {w:unit}.service..."), (15, 1, "Reloading."),
        (15, 3, "{w:unit}.service: Main process exited, code=exited, status={d:1-203}/FAILURE"),
        (10, 3, "Created slice user-{d:1000-4000}.slice."),
    ]),
    ("CRON", PROCESS, 0.10, [
        (80, 4, "({w:user}) CMD (/usr/local/bin/{w:job} >/dev/null 2>&1)"),
        (20, 1, "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
    ]),
    ("slurmd", DAEMON, 0.16, [
        (30, 2, "launch task StepId={d:100000-999999}.{d:0-40} request from UID:{d:1000-4000} GID:{d:100-900}"),
        (30, 2, "[{d:100000-999999}.batch] done with job"), (15, 1, "health check ran for {m:12} ms"),
        (15, 3, "error: unable to reach mgmt{d:1-2}: connection {w:cause}"),
        (10, 2, "task/cgroup: job {d:100000-999999}: memory limit {m:19}MB"),
    ]),
    ("rsyslogd", DAEMON, 0.03, [(100, 1, "action 'fwd{d:0-3}' {w:cause}, retry {d:1-99}")]),
    ("chronyd", DAEMON, 0.05, [
        (70, 1, "Selected source {ip:12}"), (30, 1, "System clock wrong by {d:0-3}.{d:100000-999999} seconds"),
    ]),
]  # fmt: skip


def catalogue() -> dict[str, Any]:
    """Everything EventKernel needs for the layout 'syslog'."""
    templates = [
        Template(text.replace("UPTIME", UPTIME), f" {program}", share * part / 100, burst, pid=pid, steady=0.15)
        for program, pid, share, messages in PROGRAMS
        for part, burst, text in messages
    ]
    return compile_templates(templates, WORDS, HOSTS, zipf(len(HOSTS), 0.8))
