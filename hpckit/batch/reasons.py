"""Why a job waits, and what its state means, in words. Names are those of Slurm's squeue(1)."""

from __future__ import annotations

STATES = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "CONFIGURING": "its nodes are being prepared",
    "COMPLETING": "ending",
    "COMPLETED": "finished",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
    "TIMEOUT": "ended by its time limit",
    "NODE_FAIL": "ended because a node was lost",
    "OUT_OF_MEMORY": "ended because a node had no more memory; more nodes or fewer ranks a node help",
    "PREEMPTED": "ended in favour of a job with more rights",
    "DEADLINE": "ended by its deadline",
    "BOOT_FAIL": "its nodes did not start",
    "SUSPENDED": "stopped for a while by Slurm or a person",
    "STOPPED": "stopped for a while by Slurm or a person",
    "REQUEUED": "queued again",
    "REQUEUE_HOLD": "queued again, and held: `scontrol release` lets it go on",
    "SPECIAL_EXIT": "queued again, and held: `scontrol release` lets it go on",
    "SAVED": "ended with its work saved",
    "LOST": "started, and never heard of again",
    "UNKNOWN": "unknown",
}
ACTIVE = {
    *("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_HOLD"),
    *("SPECIAL_EXIT", "RESIZING", "SIGNALING", "STAGE_OUT", "REQUEUE_FED"),
}

WAITING = {
    "Resources": "the nodes that it needs are in use; it is next in line",
    "Priority": "jobs with a higher priority come first",
    "Dependency": "it waits for another job",
    "BeginTime": "it may not start before a set time (after a requeue Slurm waits two minutes)",
    "JobHeldUser": "held by you: `scontrol release JOB` lets it go",
    "JobHeldAdmin": "held by the staff: ask them why",
    "JobArrayTaskLimit": "as many tasks of the array run as --at-once allows",
    "Cleaning": "Slurm is still clearing up its former life",
    "Reservation": "it waits for its reservation to begin",
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved",
    "NodeDown": "a node that it needs is down",
    "PartitionInactive": "the partition takes no jobs at the moment",
    "PartitionDown": "the partition is closed at the moment",
    "Licenses": "it waits for a licence",
    "Prolog": "its nodes are being prepared",
    "QOSMaxJobsPerUserLimit": "you have as many jobs running as your quality of service allows",
    "QOSMaxCpuPerUserLimit": "your running jobs use as many cores as your quality of service allows",
    "QOSMaxNodePerUserLimit": "your running jobs use as many nodes as your quality of service allows",
    "QOSGrpCpuLimit": "all jobs of this quality of service together use as many cores as it allows",
    "QOSGrpNodeLimit": "all jobs of this quality of service together use as many nodes as it allows",
    "QOSMaxSubmitJobPerUserLimit": "you have as many jobs in the queue as your quality of service allows",
    "AssocMaxJobsLimit": "your account has as many jobs running as it may",
    "AssocGrpCpuLimit": "your account uses as many cores as it may",
    "AssocGrpNodeLimit": "your account uses as many nodes as it may",
    "AssocGrpCPUMinutesLimit": "your account has used up its time: ask its leader for more",
    "AssocGrpBillingMinutes": "your account has used up its time: ask its leader for more",
    "launch_failed_requeued_held": "a node could not start it: `scontrol release JOB` tries again",
    "job_requeued_in_held_state": "queued again, and held: `scontrol release JOB` lets it go",
    "None": "Slurm has not looked at it yet",
}
IMPOSSIBLE = {
    "PartitionNodeLimit": "it asks for more nodes than the partition gives one job; ask for fewer with -N",
    "PartitionTimeLimit": "it asks for more time than the partition gives; ask for less with -t, it goes on by itself",
    "PartitionConfig": "the partition has not so many nodes, not such nodes, or not so much time for one job",
    "BadConstraints": "no node has these features, or not so many; look at `sinfo -o '%P %f'`",
    "DependencyNeverSatisfied": "the job that it waits for did not end as it had to; cancel it",
    "AccountNotAllowed": "the partition is not for this account; choose with -p or --account",
    "QOSNotAllowed": "this quality of service is not for this account or partition; choose with --qos",
    "InvalidAccount": "there is no such account (any more); choose with --account",
    "InvalidQOS": "there is no such quality of service (any more); choose with --qos",
    "AssocMaxNodePerJobLimit": "it asks for more nodes than your account may use in one job; ask for fewer with -N",
    "AssocMaxCpuPerJobLimit": "it asks for more cores than your account may use in one job; ask for fewer",
    "AssocMaxWallDurationPerJobLimit": "it asks for more time than your account may have; ask for less with -t",
    "QOSMaxNodePerJobLimit": "it asks for more nodes than its quality of service gives one job; ask for fewer with -N",
    "QOSMaxCpuPerJobLimit": "it asks for more cores than its quality of service gives one job; ask for fewer",
    "QOSMaxWallDurationPerJobLimit": "it asks for more time than its quality of service gives; ask for less with -t",
    "QOSMinCpuNotSatisfied": "its quality of service is for larger jobs; choose with --qos",
    "MaxMemPerLimit": "it asks for more memory than the partition gives; ask for less with --mem",
}


def explain(reason: str) -> tuple[str, bool]:
    """(why a job waits, whether it can never start as it was asked for)."""
    name = reason.strip("()").split(",")[0].split(" ")[0].split(":")[0]
    if name in IMPOSSIBLE:
        return f"it can never start: {IMPOSSIBLE[name]} ({name})", True
    if name in WAITING:
        return f"{WAITING[name]} ({name})", False
    kind = "QOS" if name.startswith("QOS") else "Assoc" if name.startswith("Assoc") else ""
    if kind:
        whose = "its quality of service" if kind == "QOS" else "its account"
        return f"a limit of {whose} is reached ({name}; the resource-limits page of Slurm explains it)", False
    return f"{reason} (see `man squeue`, JOB REASON CODES)", False
