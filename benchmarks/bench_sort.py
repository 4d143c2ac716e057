"""`make bench-sort`: hpckit on one and two ranks, NumPy, polars, DuckDB and GNU sort, sorting the same data.

Numbers are sorted in memory (seconds of the sort alone), strings from a Parquet file into memory, records from file to
file (seconds of the whole process). Every competitor has a process of its own for each question, where it sorts once,
which mostly measures how fast the system hands out memory, and then --repeats times, its result being dropped before
each; medians of the latter and checksums of the sorted rows are compared. Results: a table on the screen,
bench-results/sort.md and sort.json. Exit status 1 if answers disagree. Nothing else should run on the machine
meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import BIN, add_shared_options, machine, machine_text, mpirun, progress, run_sampled, run_timed, warm
from sort_data import KEY_BYTES, RECORD_BYTES, records, strings

HERE = Path(__file__).resolve().parent
RANKS = 2
COMPETITORS = ("hpckit", "hpckit 1 rank", "numpy", "polars", "duckdb", "gnu sort")


@dataclass(frozen=True)
class Question:
    name: str
    title: str
    rows: int


QUESTIONS = (
    Question("int64", "int64", 100_000_000),
    Question("float64", "float64", 100_000_000),
    Question("pairs", "int64 key, int64 payload", 50_000_000),
    Question("strings", "strings, Parquet to memory", 10_000_000),
    Question("records", "records of 10 + 90 bytes, file to file", 20_000_000),
)


def main() -> int:
    """Run the benchmark; 1 if answers disagree."""
    options = _options()
    names = [name for name in COMPETITORS if name not in options.skip]
    load = os.getloadavg()[0]
    results, disagreements = [], []
    with tempfile.TemporaryDirectory(prefix="hpckit-bench-", dir=options.data) as scratch:
        for question in QUESTIONS:
            if options.only and question.name not in options.only:
                continue
            rows = max(1, int(question.rows * options.scale))
            measure = _measure_records if question.name == "records" else _measure_engines
            found = measure(question, rows, names, options.repeats, Path(scratch))
            answers = {name: entry.pop("digest") for name, entry in found.items()}
            disagreements += [
                f"{question.name}: {name} and {next(iter(answers))} disagree"
                for name, answer in answers.items()
                if answer != next(iter(answers.values()))
            ]
            results.append({"question": question.name, "title": question.title, "rows": rows, "competitors": found})
            print(progress(results[-1]), file=sys.stderr, flush=True)
    report = {
        "machine": machine([name for name in ("hpckit", "numpy", "polars", "duckdb") if name in names]),
        "load_before": load,
        "repeats": options.repeats,
        "questions": results,
        "disagreements": disagreements,
    }
    table = markdown(report, names)
    print(table)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "sort.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.results / "sort.md").write_text(table + "\n")
    return 1 if disagreements else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="share of the rows (0.01: a quick look)")
    repeats = "sorts of each after the first; records at most 3"
    add_shared_options(parser, [q.name for q in QUESTIONS], COMPETITORS, repeats)
    options = parser.parse_args()
    if options.repeats < 1 or not 0 < options.scale <= 100:
        parser.error("--repeats must be at least 1, --scale above 0")
    options.data.mkdir(parents=True, exist_ok=True)
    return options


def _launch(name: str) -> list[str]:
    return mpirun(1 if name == "hpckit 1 rank" else RANKS)


def _measure_engines(
    question: Question, rows: int, names: list[str], repeats: int, scratch: Path
) -> dict[str, dict[str, Any]]:
    """Sorts in memory: each competitor's seconds, digest and peak memory."""
    extra = [str(_strings_file(rows, scratch))] if question.name == "strings" else []
    found = {}
    for name in names:
        if name == "gnu sort":
            continue
        result = scratch / "result.json"
        engine = name.split()[0]
        command = [sys.executable, str(HERE / "sort_engines.py"), engine, question.name, str(rows), str(repeats + 1)]
        launch = _launch(name) if engine == "hpckit" else []
        run_timed([*launch, *command, str(result), *extra], scratch / "output.txt")
        measured = json.loads(result.read_text())
        first_s, *measured["seconds"] = measured["seconds"]
        found[name] = _entry(**measured, first_s=first_s)
    return found


def _entry(seconds: list[float], digest: Any, memory_bytes: int, first_s: float | None = None) -> dict[str, Any]:
    return {
        "first_s": first_s,
        "seconds": seconds,
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "digest": digest,
        "memory_bytes": memory_bytes,
    }


def _strings_file(rows: int, scratch: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = scratch / "strings.parquet"
    pq.write_table(pa.table({"s": strings(rows)}), path)
    warm(path)
    return path


def _measure_records(
    question: Question, rows: int, names: list[str], repeats: int, scratch: Path
) -> dict[str, dict[str, Any]]:
    """Records from file to file, as whole processes."""
    source, target = scratch / "records.dat", scratch / "sorted.dat"
    with source.open("wb") as file:
        for block in records(rows):
            block.tofile(file)
    found = {}
    for name in names:
        if name == "gnu sort" and not shutil.which("sort"):
            continue
        command, times_s, on_disk_s = _record_command(name, source, target), [], []
        for _ in range(min(repeats, 3)):
            warm(source)
            target.unlink(missing_ok=True)
            os.sync()  # nobody's sort begins while the disk still writes what came before it
            times_s.append(run_timed(command, scratch / "output.txt"))
            on_disk_s.append(times_s[-1] + _sync(target))
        target.unlink(missing_ok=True)
        memory = run_sampled(command, scratch / "output.txt")
        with target.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _sha256(file)
        found[name] = _entry(times_s, content, memory.sum_bytes) | {
            "on_disk_s": statistics.median(on_disk_s), "copy_s": _copy(source, target)
        }  # fmt: skip
    return found


def _copy(source: Path, target: Path) -> float:
    """Seconds of a copy that is on the disk at the end, which no sort from file to file can beat. Right after a
    competitor, for disks have better and worse minutes."""
    target.unlink(missing_ok=True)
    os.sync()
    start_s = time.perf_counter()
    shutil.copyfile(source, target)
    _sync(target)
    elapsed_s = time.perf_counter() - start_s
    target.unlink()
    return elapsed_s


def _sync(path: Path) -> float:
    """Seconds until what was written to `path` is on the disk."""
    start_s = time.perf_counter()
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return time.perf_counter() - start_s


def _sha256(file: Any) -> str:
    content = hashlib.sha256()
    while block := file.read(1 << 20):
        content.update(block)
    return content.hexdigest()


def _record_command(name: str, source: Path, target: Path) -> list[str]:
    if name.startswith("hpckit"):
        records_ = ["--records", str(RECORD_BYTES), "--key", str(KEY_BYTES)]
        return [*_launch(name), str(BIN / "hpckit"), "sort", str(source), str(target), *records_, "--overwrite"]
    if name == "gnu sort":
        key = f"-k1.1,1.{KEY_BYTES}"
        flags = ["-s", "-t", "\x01", key, "-S", "4G", "--parallel=2", "-T", str(source.parent)]
        return ["env", "LC_ALL=C", "sort", *flags, "-o", str(target), str(source)]
    return [sys.executable, str(HERE / "sort_records.py"), name, str(source), str(target)]


def markdown(report: dict[str, Any], names: list[str]) -> str:
    """The results as a Markdown table, with what they were measured on below it."""
    ratio = ["hpckit / fastest peer"] if "hpckit" in names else []
    lines = ["| sorted | " + " | ".join([f"{name}, s" for name in names] + ratio) + " | memory, MB |"]
    lines.append("|---" * (len(names) + len(ratio) + 2) + "|")
    for result in report["questions"]:
        entries = result["competitors"]
        cells = [_cell(entries[n]) if n in entries else "" for n in names]
        peers = [entry["median_s"] for name, entry in entries.items() if not name.startswith("hpckit")]
        if ratio:
            cells.append(f"{entries['hpckit']['median_s'] / min(peers):.2f}×" if peers else "")
        memory = ", ".join(f"{name} {entry['memory_bytes'] / 1e6:,.0f}" for name, entry in entries.items())
        lines.append(f"| {result['rows']:,} {result['title']} | " + " | ".join(cells) + f" | {memory} |")
    lines += [
        "",
        f"Median (least; first of the process) of {report['repeats']} sorts after the first. hpckit keeps memory from "
        "one sort for the next, and NumPy copies into one array that it keeps and sorts that, so only their first pays "
        f"for fresh memory. hpckit on {RANKS} ranks unless it says one, NumPy on one core, "
        f"the others {RANKS} threads. Memory: peak resident of all processes, input included.",
        *_on_disk(report),
        machine_text(report["machine"]),
    ]
    if report["disagreements"]:
        lines += ["", "**Answers disagree:** " + "; ".join(report["disagreements"])]
    return "\n".join(lines)


def _on_disk(report: dict[str, Any]) -> list[str]:
    """A line on files that are safe: hpckit waits until its output is on the disk, the others do not."""
    lines = []
    for result in report["questions"]:
        times_s = {n: entry["on_disk_s"] for n, entry in result["competitors"].items() if "on_disk_s" in entry}
        peers_s = [time_s for name, time_s in times_s.items() if not name.startswith("hpckit")]
        if peers_s and "hpckit" in times_s:
            each = ", ".join(f"{name} {time_s:.2f}" for name, time_s in times_s.items())
            ratio = times_s["hpckit"] / min(peers_s)
            copies_s = [entry["copy_s"] for entry in result["competitors"].values()]
            lines.append(
                "hpckit ends when its output is on the disk, the others when the system has taken it. "
                f"{result['title'].capitalize()}, until the output is on the disk, s: {each}; hpckit / fastest peer "
                f"{ratio:.2f}×. A copy of the file, synced, took {min(copies_s):.2f} to {max(copies_s):.2f} s."
            )
    return lines


def _cell(entry: dict[str, Any]) -> str:
    first = "" if entry["first_s"] is None else f"; {entry['first_s']:.2f}"
    return f"{entry['median_s']:.2f} ({entry['min_s']:.2f}{first})"


if __name__ == "__main__":
    sys.exit(main())
