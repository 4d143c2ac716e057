"""The real samples of Loghub, every line, against the tables that people made of them by hand."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hpckit.formats import guess, load
from hpckit.formats.reference import parse
from hpckit.formats.times import Clock

LOGHUB = Path(__file__).parents[2] / "shared" / "data" / "loghub"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
pytestmark = pytest.mark.skipif(not LOGHUB.is_dir(), reason=f"no samples in {LOGHUB}")


def lines(system: str) -> list[bytes]:
    """Lines as a file yields them: cut at newlines only, carriage returns kept."""
    with open(LOGHUB / system / f"{system}_2k.log", "rb") as stream:
        return list(stream)


def table(system: str) -> list[dict[str, str]]:
    with open(LOGHUB / system / f"{system}_2k.log_structured.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def us(moment: datetime) -> int:
    return (moment.replace(tzinfo=timezone.utc) - EPOCH) // timedelta(microseconds=1)


def by_hand_apache(row):
    client, message = "", row["Content"]
    if message.startswith("[client "):
        client, _, message = message.partition("] ")
    return {
        "time": us(datetime.strptime(row["Time"], "%a %b %d %H:%M:%S %Y")),
        "level": row["Level"],
        "client": client.removeprefix("[client ") or None,
        "message": message,
    }


def by_hand_bgl(row):
    return {
        "label": row["Label"],
        "epoch": int(row["Timestamp"]),
        "date": row["Date"],
        "node": row["Node"],
        "time": us(datetime.strptime(row["Time"], "%Y-%m-%d-%H.%M.%S.%f")),
        "node_repeat": row["NodeRepeat"],
        "type": row["Type"],
        "component": row["Component"],
        "level": row["Level"],
        "message": row["Content"],
    }


def by_hand_hdfs(row):
    return {
        "time": us(datetime.strptime(row["Date"].zfill(6) + row["Time"].zfill(6), "%y%m%d%H%M%S")),
        "pid": int(row["Pid"]),
        "level": row["Level"],
        "component": row["Component"],
        "message": row["Content"],
    }


def by_hand_hpc(row):
    return {
        "log_id": int(row["LogId"]),
        "node": row["Node"],
        "component": row["Component"],
        "state": row["State"],
        "epoch": int(row["Time"]),
        "flag": int(row["Flag"]),
        "message": row["Content"],
        "time": int(row["Time"]) * 1_000_000,
    }


def by_hand_linux(row):
    return {
        "time": us(datetime.strptime(f"2005 {row['Month']} {row['Date']} {row['Time']}", "%Y %b %d %H:%M:%S")),
        "host": row["Level"],  # the table calls the host so
        "component": row["Component"],
        "pid": int(row["PID"]) if row["PID"] else None,
        "message": row["Content"],
    }


SYSTEMS = {
    "Apache": ("apache_error", by_hand_apache),
    "BGL": ("bgl", by_hand_bgl),
    "HDFS": ("hdfs", by_hand_hdfs),
    "HPC": ("hpc", by_hand_hpc),
    "Linux": ("syslog", by_hand_linux),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_line_agrees_with_the_table_made_by_hand(system):
    name, by_hand = SYSTEMS[system]
    records = list(parse(load(name), lines(system), Clock(year=2005)))
    rows = table(system)
    assert len(records) == len(rows) == 2000
    differ = []
    for number, (record, row) in enumerate(zip(records, rows, strict=True), 1):
        assert record.values is not None, (number, record.reason)
        wanted = by_hand(row)
        got = {k: record.values[k] for k in wanted}
        if system == "Linux":  # its table lost the blanks at both ends of messages; the lines have them
            assert got["message"].encode() in record.raw
            got["message"] = got["message"].strip(" ")
        if got != wanted:
            differ.append((number, {k: (got[k], wanted[k]) for k in wanted if got[k] != wanted[k]}))
    assert differ == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_guess_finds_the_format(system):
    assert guess(lines(system)[:300], Clock(year=2005))[0].name == SYSTEMS[system][0]
