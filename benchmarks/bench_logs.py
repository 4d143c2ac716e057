"""`make bench-logs`: hpckit, DuckDB and polars answer the same questions about the same logs, as whole processes.

Two logs of about 2 GB are generated once (bench-data/) and read into the page cache. For every question the competitors
take turns, --repeats times; wall time is that of the whole process, answers are compared, peak memory is taken in a run
of its own. Results: a table on the screen, bench-results/logs.md and logs.json. Exit status 1 if answers disagree.
Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from answers import difference, read_answers
from measure import (
    BIN,
    Memory,
    add_shared_options,
    machine,
    machine_text,
    mpirun,
    progress,
    run_sampled,
    run_timed,
    warm,
)
from questions import QUESTIONS, Question

HERE = Path(__file__).resolve().parent
RANKS = 2
SEED = 1
LINE_BYTES = {"access": 212, "bgl": 153}
COMPETITORS = ("hpckit", "duckdb", "polars")
QUIET_LOAD = 0.5


def main() -> int:
    """Run the benchmark; 1 if answers disagree."""
    options = _options()
    names = [name for name in COMPETITORS if name not in options.skip]
    questions = [question for question in QUESTIONS if not options.only or question.name in options.only]
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        print(f"bench_logs: the load is {load:.1f}; times mean little while something else runs", file=sys.stderr)
    logs = {kind: _log(options.data, kind, options.size) for kind in dict.fromkeys(q.kind for q in questions)}
    results = []
    disagreements = []
    with tempfile.TemporaryDirectory(prefix="hpckit-bench-") as scratch:
        for question in questions:
            warm(logs[question.kind])
            result = _measure(question, logs[question.kind], names, options.repeats, Path(scratch))
            results.append(result)
            print(progress(result), file=sys.stderr, flush=True)
        # Only now: what this process has in memory would count as the children's, which it starts by fork.
        for question in questions:
            disagreements += _compare(question, names, Path(scratch))
    report = {
        "machine": machine(names),
        "load_before": load,
        "repeats": options.repeats,
        "logs": _sizes(logs),
        "questions": results,
    }
    report["disagreements"] = disagreements
    _write(report, names, options.results)
    for line in disagreements:
        print(f"bench_logs: {line}", file=sys.stderr)
    return 1 if disagreements else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=2e9, metavar="BYTES", help="of each log (default 2e9)")
    add_shared_options(parser, [q.name for q in QUESTIONS], COMPETITORS, "timed runs of each")
    options = parser.parse_args()
    if options.repeats < 1 or options.size < 1000:
        parser.error("--repeats must be at least 1, --size at least 1000")
    return options


def _log(folder: Path, kind: str, size: float) -> Path:
    """The log of a kind, generated unless it is there: `hpckit generate` leaves whole files only."""
    rows = int(size / LINE_BYTES[kind])
    path = folder.resolve() / f"{kind}-{rows}-seed{SEED}.log"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            *mpirun(RANKS),
            str(BIN / "hpckit"),
            "generate",
            kind,
            str(path),
            "--rows",
            str(rows),
            "--seed",
            str(SEED),
        ]
        elapsed_s = run_timed(command, folder / "generate.out")
        megabytes = path.stat().st_size / 1e6
        print(f"{path.name}: {megabytes:,.0f} MB generated in {elapsed_s:.1f} s", file=sys.stderr)
    return path


def _command(name: str, question: Question, log: Path, folder: Path) -> list[str]:
    """The process by which a competitor answers a question into `folder`."""
    if name != "hpckit":
        return [sys.executable, str(HERE / f"peers_{name}.py"), question.name, str(log), str(folder)]
    query = [*mpirun(RANKS), str(BIN / "hpckit"), "query"]
    if len(question.statements) == 1:
        return [*query, question.sql(str(log)), "--output", str(folder / "1.parquet"), "--overwrite"]
    script = folder.with_suffix(".sql")
    script.write_text(question.sql(str(log)))
    return [*query, "-f", str(script), "--output", f"{folder}/", "--overwrite"]


def _measure(question: Question, log: Path, names: list[str], repeats: int, scratch: Path) -> dict[str, Any]:
    """Times and memory of all competitors on one question; their last answers stay under `scratch`."""
    commands = {name: _command(name, question, log, _folder(scratch, question, name)) for name in names}
    times_s: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            _emptied(_folder(scratch, question, name))
            times_s[name].append(run_timed(commands[name], scratch / "output.txt"))
    result: dict[str, Any] = {"question": question.name, "title": question.title, "competitors": {}}
    for name in names:
        _emptied(_folder(scratch, question, name))
        memory: Memory = run_sampled(commands[name], scratch / "output.txt")
        result["competitors"][name] = {
            "seconds": times_s[name],
            "median_s": statistics.median(times_s[name]),
            "min_s": min(times_s[name]),
            "memory_sum_bytes": memory.sum_bytes,
            "memory_largest_process_bytes": memory.largest_bytes,
        }
    peers = [entry["median_s"] for name, entry in result["competitors"].items() if name != "hpckit"]
    if "hpckit" in names and peers:
        result["ratio_to_fastest_peer"] = min(peers) / result["competitors"]["hpckit"]["median_s"]
    return result


def _folder(scratch: Path, question: Question, name: str) -> Path:
    return scratch / f"{question.name}-{name}"


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _compare(question: Question, names: list[str], scratch: Path) -> list[str]:
    """What the competitors disagree about."""
    found = {name: read_answers(_folder(scratch, question, name), question.columns) for name in names}
    first = names[0]
    texts = [(name, difference(found[first], found[name])) for name in names[1:]]
    return [f"{question.name}: {first} and {name} disagree: {text}" for name, text in texts if text]


def _sizes(logs: dict[str, Path]) -> dict[str, Any]:
    return {kind: {"file": path.name, "bytes": path.stat().st_size} for kind, path in logs.items()}


def _write(report: dict[str, Any], names: list[str], folder: Path) -> None:
    """Print the table and write it beside the figures."""
    table = markdown(report, names)
    print(table)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logs.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "logs.md").write_text(table + "\n")


def markdown(report: dict[str, Any], names: list[str]) -> str:
    """The results as a Markdown table, with what they were measured on below it."""
    headings = [f"{name}, s" for name in names] + ["ratio"] + [f"{name}, MB" for name in names]
    lines = ["| question | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for result in report["questions"]:
        entries = [result["competitors"][name] for name in names]
        ratio = result.get("ratio_to_fastest_peer")
        cells = [f"{entry['median_s']:.2f} ({entry['min_s']:.2f})" for entry in entries]
        cells.append(f"{ratio:.2f}×" if ratio else "")
        cells += [_memory_cell(name, entry) for name, entry in zip(names, entries, strict=True)]
        lines.append(f"| {result['title']} | " + " | ".join(cells) + " |")
    sizes = ", ".join(f"{log['file']} {log['bytes'] / 1e6:,.0f} MB" for log in report["logs"].values())
    lines += [
        "",
        f"Whole processes, median (least) of {report['repeats']} runs in turn; "
        f"hpckit on {RANKS} ranks, the others with {RANKS} threads.",
        "Ratio: fastest peer over hpckit. Memory: peak resident of all processes; in brackets the largest process.",
        machine_text(report["machine"]),
        f"{sizes}.",
    ]
    if report["disagreements"]:
        lines += ["", "**Answers disagree:** " + "; ".join(report["disagreements"])]
    return "\n".join(lines)


def _memory_cell(name: str, entry: dict[str, Any]) -> str:
    text = f"{entry['memory_sum_bytes'] / 1e6:,.0f}"
    return f"{text} ({entry['memory_largest_process_bytes'] / 1e6:,.0f})" if name == "hpckit" else text


if __name__ == "__main__":
    sys.exit(main())
