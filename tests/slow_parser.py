"""A second, independent reading of the important formats: regular expressions and strptime written by hand.

It shares no code with hpckit: tests compare the two. `parse(name, line)` gives {column: value} with times as UTC
microseconds, or None if the line is not of the format.
"""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta, timezone

YEAR = 2024  # of times that have none


def _us(moment: datetime) -> int:
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return calendar.timegm(moment.timetuple()) * 1_000_000 + moment.microsecond


def _leap(text: str, pattern: str) -> int:
    """strptime that reads a second of 60 as the next minute's 0."""
    if ":60" in text:
        return _us(datetime.strptime(text.replace(":60", ":59"), pattern) + timedelta(seconds=1))
    return _us(datetime.strptime(text, pattern))


def _int(text: str | None) -> int | None:
    if text in (None, "-"):
        return None
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(text)
    return value


def _unquote(text: str | None) -> str | None:
    if text in (None, "", "-"):
        return None
    return re.sub(r'\\(["\\])', r"\1", text)


def _hand_time(text: str) -> int:
    """Jun  4 10:00:00, also with one blank or a zero."""
    month, day, hour, minute, second = re.fullmatch(
        r"([A-Z][a-z]{2}) ((?: |\d)?\d) (\d\d):(\d\d):(\d\d)", text
    ).groups()
    number = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].index(month) + 1
    extra = int(second == "60")
    moment = datetime(YEAR, number, int(day), int(hour), int(minute), int(second) - extra)
    return _us(moment + timedelta(seconds=extra))


QUOTED = r'((?:[^"\\]|\\.)*)'
COMBINED = re.compile(
    r'([^ ]*) ([^ ]*) (.*?) \[([^\]]*)\] "((?:[^" \\]|\\.)*)(?: ((?:[^" \\]|\\.)*)(?: ' + QUOTED + r')?)?" '
    r"([^ ]*) ([^ ]*) " + f'"{QUOTED}" "{QUOTED}"' + r"(?: (.*))?",
    re.DOTALL,
)


def combined(line: str) -> dict:
    cells = COMBINED.fullmatch(line).groups()
    host, ident, user, time, method, path, protocol, status, size, referer, agent, extra = cells
    return {
        "host": host,
        "ident": None if ident == "-" else ident,
        "user": None if user in ("-", '""') else user,
        "time": _leap(time, "%d/%b/%Y:%H:%M:%S %z"),
        "method": _unquote(method),
        "path": None if path is None else re.sub(r'\\(["\\])', r"\1", path),
        "protocol": None if protocol is None else re.sub(r'\\(["\\])', r"\1", protocol),
        "status": _int(status),
        "bytes": _int(size),
        "referer": _unquote(referer),
        "user_agent": _unquote(agent),
        "extra": extra,
    }


BGL = re.compile(" ".join([r"([^ ]*)"] * 8) + r" ([^ ]*)(?: (.*))?", re.DOTALL)


def bgl(line: str) -> dict:
    label, epoch, date, node, time, repeat, kind, component, level, message = BGL.fullmatch(line).groups()
    return {
        "label": label,
        "epoch": int(epoch),
        "date": date,
        "node": node,
        "time": _leap(time, "%Y-%m-%d-%H.%M.%S.%f"),
        "node_repeat": repeat,
        "type": kind,
        "component": component,
        "level": level,
        "message": message,
    }


def _whole(text: str | None) -> int | None:
    """As _int, where - is no number and Python's own 1_000 neither."""
    if text is not None and not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(text)
    return _int(text)


def _tagged(rest: str) -> tuple[str | None, int | None, str | None]:
    """component, pid, message of what follows the host: the component ends at the first '[' or ': '."""
    blanks = rest.lstrip(" ")
    match = re.match(r"(.*?)(\[|: )", blanks, re.DOTALL)
    if match and match[2] == ": ":
        return match[1], None, blanks[match.end() :]
    if match:
        inside = re.match(r"([^\]]*)\]: (.*)", blanks[match.end() :], re.DOTALL)
        if inside:
            return match[1], _whole(inside[1]), inside[2]
    bare = re.fullmatch(r"([^\[:]*)(?:\[([^\]]*)\])?:", blanks, re.DOTALL)
    if bare:
        return bare[1], _whole(bare[2]), None
    return None, None, rest


def syslog(line: str) -> dict:
    pri, time, host, rest = re.fullmatch(r"(?:<([^>]*)>)?(.{14}[^ ]*) ([^ ]*) (.*)", line, re.DOTALL).groups()
    component, pid, message = _tagged(rest)
    return {
        "pri": _whole(pri),
        "time": _hand_time(time),
        "host": host,
        "component": component,
        "pid": pid,
        "message": message,
    }


THUNDERBIRD = re.compile(r"([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) *([^ ]*) ([^ ]*) ([^ ]*) (.*)", re.DOTALL)


def thunderbird(line: str) -> dict:
    label, epoch, date, node, month, day, clock, location, rest = THUNDERBIRD.fullmatch(line).groups()
    component, pid, message = _tagged(rest)
    datetime.strptime(date, "%Y.%m.%d")
    return {
        "label": label,
        "epoch": int(epoch),
        "date": date,
        "node": node,
        "month": month,
        "day": int(day),
        "clock": clock,
        "location": location,
        "component": component,
        "pid": pid,
        "message": message,
        "time": _leap(f"{date[:4]} {month} {day} {clock}", "%Y %b %d %H:%M:%S"),
    }


HPC = re.compile(r"([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*)(?: (.*))?", re.DOTALL)


def hpc(line: str) -> dict:
    log_id, node, component, state, epoch, flag, message = HPC.fullmatch(line).groups()
    return {
        "log_id": int(log_id),
        "node": node,
        "component": component,
        "state": state,
        "epoch": int(epoch),
        "flag": int(flag),
        "message": message,
        "time": int(epoch) * 1_000_000,
    }


HDFS = re.compile(r"(.{13}) ([^ ]*) ([^ ]*) (.*?): (.*)", re.DOTALL)


def hdfs(line: str) -> dict:
    time, pid, level, component, message = HDFS.fullmatch(line).groups()
    return {
        "time": _us(datetime.strptime(time, "%y%m%d %H%M%S")),
        "pid": int(pid),
        "level": level,
        "component": component,
        "message": message,
    }


FORMATS = {"combined": combined, "bgl": bgl, "syslog": syslog, "thunderbird": thunderbird, "hpc": hpc, "hdfs": hdfs}


def parse(name: str, line: bytes) -> dict | None:
    """Columns of one line, or None if it is not of the format."""
    try:
        return FORMATS[name](line.decode())
    except (ValueError, AttributeError, TypeError):
        return None
