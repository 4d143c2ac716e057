"""The batch script of a request: plain bash that a cluster's support team can read, edit and resubmit."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from hpckit import __version__
from hpckit.batch.request import Request

REMIND_S = 10  # between one time of telling the ranks to save and the next
CRASHES_MAX = 2  # lives in a row that ended without saving, before the job gives up

HEAD = """\
#
# Written by `hpckit submit` (hpckit {version}). It may be edited and given to sbatch as it is.
#
{life}
"""
LIFE_REQUEUE = """\
# {lead} s before the time limit Slurm signals this shell, which tells the ranks to save their work and to end with
# status 75. Then the job is queued again under its number and goes on from what was saved, at most {restarts} times.
# The same happens when a node is lost. Status 2 (a mistake in the request) and 1 (an error of the program) end the job
# at once."""
LIFE_CHAIN = """\
# {lead} s before the time limit Slurm signals this shell, which tells the ranks to save their work and to end with
# status 75. The next job of the chain, which is in the queue already, goes on from what was saved. When the work is
# finished, or was found to be a mistake, the rest of the chain ends at once without doing anything."""

LIFE_ONCE = """\
# {lead} s before the time limit Slurm signals this shell, which tells the ranks to save their work and to end with
# status 75. `hpckit resume` goes on from there."""

START = """\
files={folder}
name=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
life=${{SLURM_RESTART_COUNT:-0}}
restarts={restarts}

note() {{ # one line of the job's history, which `hpckit status` reads
    printf '{{"event": "%s", "life": %d, "time": %d%s}}\\n' "$1" "$life" "$(date +%s)" "${{2:-}}" \\
        >>"$files/$name.events"
}}
stop() {{ # stop STATUS WORDS: say why nothing more is done
    echo "hpckit: $2" >&2
    exit "$1"
}}

cd "$files" 2>/dev/null || stop 2 "$files is not on $(hostname): submit from a file system that the nodes share"
cd {work} || stop 2 "the folder of the submission is not on $(hostname)"
((life <= restarts)) || stop 75 "given up after $restarts restarts; \\`hpckit resume $SLURM_JOB_ID\\` goes on"
"""
CHAIN_START = """\
chain={chain}
if [ -f "$files/$chain.finished" ]; then
    read -r status <"$files/$chain.finished"
    note end ", \\"status\\": $status"
    stop "$status" "an earlier job of this chain ended with status $status: nothing left to do"
fi
"""
ARRAY = """\
# The task's input is one line of a list; it replaces {{input}}, {{stem}} (its name without endings) and {{index}}.
input=$(sed "$((SLURM_ARRAY_TASK_ID + 1))!d;q" {inputs})
stem=${{input##*/}}
stem=${{stem%%.*}}
for i in "${{!command[@]}}"; do
    command[i]=${{command[i]//'{{input}}'/"$input"}}
    command[i]=${{command[i]//'{{stem}}'/"$stem"}}
    command[i]=${{command[i]//'{{index}}'/"$SLURM_ARRAY_TASK_ID"}}
done
output=${{output//'{{input}}'/"$input"}}
output=${{output//'{{stem}}'/"$stem"}}
output=${{output//'{{index}}'/"$SLURM_ARRAY_TASK_ID"}}
"""
RUN = """\
set -u
signals=0
child=
reminder=
tell() {{ # the ranks are to save; told again and again, for a signal that comes while they start is lost
    if [ -n "$reminder" ]; then
        kill -USR1 "$child" 2>/dev/null
    else
        while kill -USR1 "$child" && sleep {remind}; do :; done >/dev/null 2>&1 &
        reminder=$!
    fi
}}
trap 'signals=$((signals + 1)); [ -n "$child" ] && tell' USR1 TERM

export HPCKIT_STANDING="$files/$name.standing" # how far the ranks are, for `hpckit status`
note start ", \\"nodes\\": \\"$SLURM_JOB_NODELIST\\", \\"ranks\\": $ranks"
{before}"${{command[@]}}" &
child=$!
((signals == 0)) || tell
while :; do # wait returns early at each signal
    seen=$signals
    wait "$child"
    status=$?
    [ "$signals" -eq "$seen" ] && break
done
[ -z "$reminder" ] || kill "$reminder" 2>/dev/null
{status}{output}note end ", \\"status\\": $status, \\"signals\\": $signals"
rm -rf "$HPCKIT_STANDING" "$HPCKIT_STANDING.d"
"""
SRUN_BEFORE = """\
# MPICH names its shared memory by job and step, and a life that was killed leaves it behind on the node: this life's
# ranks get a step number of their own.
for ((i = 0; i < life; i++)); do srun --mpi=none --nodes=1 --ntasks=1 true; done
size=$(stat -c %s "$files/$name.log" 2>/dev/null || echo 0)
"""
OUTPUT = """\
for ((i = 0; i < 6 && status == 0; i++)); do # network file systems may show a new file late
    [ -e "$output" ] && break
    sleep 5
done
if ((status == 0)) && ! [ -e "$output" ]; then
    echo "hpckit: status 0 and no $output: a node was lost (Open MPI's launcher calls that an orderly end)" >&2
    status=255
fi
"""
SRUN_STATUS = """\
if ((status == 137)); then # srun reports an ordered abort as the kill that ended it: what the ranks said tells more
    said=$(tail -c "+$((size + 1))" "$files/$name.log" 2>/dev/null |
        grep -E '^hpckit.*: error: |^hpckit: rank .* failed')
    case $said in
    *'error: '*) status=2 ;;
    ?*) status=1 ;;
    esac
fi
"""
END_COMMON = """\
# Work that was saved, or cut off by the signal, is to go on, and so is work whose launcher or node was lost.
again=no
case $status in
0 | 2) ;;
75) again=yes && rm -f "$files/$name.crashes" ;;
*) ((signals > 0)) && again=yes ;;
esac
if [ "$again" = no ] && ((status > {final} && status != 2 && status != 126 && status != 127 && status != 130)); then
    printf x >>"$files/$name.crashes"
    (($(wc -c <"$files/$name.crashes") <= {crashes})) && again=yes
fi
"""
END_REQUEUE = """\
if [ "$again" = yes ]; then
    state=$(timeout 60 scontrol show job "$SLURM_JOB_ID" --oneliner | grep -o 'JobState=[A-Z_]*')
    case $state in
    JobState=RUNNING | JobState=PREEMPTED | '') ;;
    *) stop "$status" "not queued again: Slurm says $state" ;; # cancelled, or requeued by Slurm itself
    esac
    ((life < restarts)) || stop "$status" "given up after $restarts restarts; \\`hpckit resume $SLURM_JOB_ID\\` goes on"
    echo "hpckit: ended with status $status; queued again, restart $((life + 1)) of at most $restarts" >&2
    note requeue
    timeout 60 scontrol requeue "$SLURM_JOB_ID" ||
        stop "$status" "this Slurm does not queue it again: \\`hpckit resume $SLURM_JOB_ID\\`, or submit with --chain N"
fi
exit "$status"
"""
END_CHAIN = """\
[ "$again" = yes ] || echo "$status" >"$files/$chain.finished"
exit "$status"
"""
END_PLAIN = """\
exit "$status"
"""


def write(request: Request, chain: str = "") -> str:
    """The script of `request`; `chain` is the number of its first job for the later ones of a chain."""
    lead, restarts = request.save_before_s, request.restarts if request.requeue else 0
    is_chain, is_srun = request.chain > 1, request.launcher == "srun"
    life = (LIFE_CHAIN if is_chain else LIFE_REQUEUE if restarts else LIFE_ONCE).format(lead=lead, restarts=restarts)
    parts = [
        ("#!/bin/bash -l\n" if request.modules else "#!/bin/bash\n")  # a login shell knows `module`
        + "".join(f"#SBATCH {line}\n" for line in directives(request)),
        HEAD.format(version=__version__, life=life).rstrip("\n") + "\n\n",
        START.format(
            folder=_quoted(request.folder), work=_quoted(request.work_folder), restarts=0 if is_chain else restarts
        ),
        CHAIN_START.format(chain=chain or "$SLURM_JOB_ID") if is_chain else "",
        "\n" + environment(request),
        "\n" + ranks(request) + command(request),
        f"output={_quoted(request.output)}\n",
        ARRAY.format(inputs=_quoted(request.inputs_file)) if request.inputs else "",
        "\n"
        + RUN.format(
            remind=REMIND_S,
            before=SRUN_BEFORE if is_srun else "",
            status=SRUN_STATUS if is_srun else "",
            output=OUTPUT if request.output else "",
        ),
        "\n" + _end(request),
    ]
    return "".join(parts)


def directives(request: Request) -> list[str]:
    """The #SBATCH lines, without that word."""
    lines = [f"--{name}={_value(value)}" if value else f"--{name}" for name, value in request.options.items()]
    log = "%A_%a.log" if request.inputs else "%j.log"
    lines += [f"--chdir={_value(request.work_folder)}", f"--output={_value(request.folder + '/' + log)}"]
    lines += ["--open-mode=append", f"--signal=B:USR1@{request.save_before_s}"]
    lines.append("--requeue" if request.requeue and request.restarts and request.chain == 1 else "--no-requeue")
    if request.inputs:
        tasks = request.tasks or f"0-{request.inputs - 1}"
        lines.append(f"--array={tasks}" + (f"%{request.at_once}" if request.at_once else ""))
    return lines + request.extra


def _value(text: str) -> str:
    """A value as sbatch reads it in a directive: quoted where it has blanks or a #."""
    if any(c in text for c in " \t#'\""):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _quoted(text: str) -> str:
    return shlex.quote(text)


def environment(request: Request) -> str:
    """Modules, the environment that hpckit is installed in, and the site's own lines."""
    lines = ["# The environment of hpckit. Its mpi4py and the launcher below belong together."]
    if request.modules:
        lines.append(f"module load {' '.join(map(_quoted, request.modules))}")
    if request.environment and (Path(request.environment) / "bin" / "activate").is_file():
        lines.append(f"source {_quoted(request.environment + '/bin/activate')}")
    elif request.environment:
        lines.append(f"export PATH={_quoted(request.environment + '/bin')}:$PATH")
    lines += request.setup
    lines.append("export OMP_NUM_THREADS=1")
    lines.append("unset SLURM_EXPORT_ENV # ranks get this environment, also where jobs begin with an empty one")
    if request.stage_env:
        from hpckit.batch.staging import unpacking

        lines.append(unpacking(request.stage_env, request.environment))
    return "\n".join(lines) + "\n"


def ranks(request: Request) -> str:
    """How many ranks: with a range of nodes it is known only once the job runs."""
    if "ntasks" in request.options:
        return "ranks=$SLURM_NTASKS\n"
    return "ranks=$((SLURM_JOB_NUM_NODES * ${SLURM_NTASKS_PER_NODE:-1}))\n"


def command(request: Request) -> str:
    """The array `command` that starts the ranks."""
    hpckit = ["hpckit"]
    if request.stage_env:
        hpckit = ['"$local_env/bin/python"', '"$local_env/bin/hpckit"']
    elif request.environment and not (Path(request.environment) / "bin" / "hpckit").exists():  # used in place
        hpckit = ["python", "-m", "hpckit.cli.main"]
    program = [_quoted(word) for word in request.command]
    if request.launcher == "srun":
        if request.command[0] == "hpckit":
            program[:1] = hpckit
        elif request.command[0] in ("python", "python3") and not request.command[1].startswith("-"):
            program[1:1] = ["-m", "mpi4py"]  # one failing rank ends the job
        words = ["srun", f"--mpi={request.pmi}", '--ntasks="$ranks"', "--kill-on-bad-exit=1", *program]
    else:
        words = [*hpckit, "run", "-n", '"$ranks"', *map(_quoted, request.run_options), "--", *program]
    text = f"command=({' '.join(words)})\n"
    if request.launcher == "srun" and "cpus-per-task" in request.options:
        text = 'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # srun does not take it from the job any more\n' + text
    return text


def _end(request: Request) -> str:
    text = END_COMMON.format(crashes=CRASHES_MAX, final=0 if "--survive" in request.run_options else 1)
    if request.chain > 1:
        return text + END_CHAIN
    return text + END_REQUEUE if request.requeue and request.restarts else END_PLAIN


def prefix() -> str:
    """The environment that this hpckit runs in; "" for the system's own Python, found on PATH."""
    conda = sys.prefix == sys.base_prefix and (Path(sys.prefix) / "conda-meta").is_dir()
    if sys.prefix != sys.base_prefix or conda:
        return sys.prefix
    return "" if (Path(sys.prefix) == Path("/usr")) else sys.prefix
