"""The reference matcher against a twin written by hand with regular expressions, on lines made by hypothesis."""

from __future__ import annotations

from datetime import date, datetime

import slow_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit.formats import load
from hpckit.formats.reference import parse_line
from hpckit.formats.times import Clock
from hpckit.formats.values import Misfit

CLOCK = Clock(year=slow_parser.YEAR)
letters = st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_characters='"\\[]<>\x7f')
word = st.text(letters, min_size=1, max_size=8)
prose = st.text(st.sampled_from('ab \\"[]:-é.<>{}7'), max_size=30)
number = st.integers(-(2**64), 2**64).map(str) | st.sampled_from(["0", "-", "007", "+5", "1.5", ""])
small = st.integers(0, 70_000).map(str)
day = st.integers(1, 31)
clock_time = st.builds("{:02}:{:02}:{:02}".format, st.integers(0, 24), st.integers(0, 59), st.integers(0, 60))
month = st.sampled_from(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Foo"])
syslog_day = day.map("{:2}".format) | day.map(str) | day.map("{:02}".format)
quoted = st.text(st.sampled_from("ab -%é") | st.just("é"), max_size=12).flatmap(
    lambda s: st.sampled_from([s, s + '\\"', s + "\\\\", '\\"' + s, "-", ""])
)
offset = st.sampled_from(["+0000", "-0700", "+05:30", "+0530", "+1400"])
dates = st.dates(date(1900, 1, 1), date(2999, 12, 31))
stamp = st.builds("{:02}/{}/{}:{} {}".format, st.integers(1, 31), month, st.integers(1971, 2068), clock_time, offset)
ending = st.just("") | prose.map(" {}".format)
user_name = st.text(st.sampled_from("ab -é"), max_size=6) | st.just('""')


def agree(name: str, line: str) -> bool:
    """Both readings of a line, compared; whether it is of the format."""
    raw = line.encode()
    try:
        mine = parse_line(load(name), raw, CLOCK)
    except Misfit:
        mine = None
    assert mine == slow_parser.parse(name, raw), line
    return mine is not None


@settings(max_examples=150, deadline=None)
@given(word, word, user_name, stamp, quoted, number, number, quoted, quoted, st.sampled_from(["", ' "x"', "x", " "]))
def test_combined(host, ident, user, time, request, status, size, referer, agent, tail):
    agree("combined", f'{host} {ident} {user} [{time}] "{request}" {status} {size} "{referer}" "{agent}"{tail}')


@settings(max_examples=100, deadline=None)
@given(word, small, word, word, st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1)), word, word, ending)
def test_bgl(label, epoch, day, node, moment, component, level, message):
    time = f"{moment:%Y-%m-%d-%H.%M.%S.%f}"
    agree("bgl", f"{label} {epoch} {day} {node} {time} {node} RAS {component} {level}{message}")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["", "<34>", "<x>"]), month, syslog_day, clock_time, word, prose)
def test_syslog(pri, m, d, t, host, rest):
    agree("syslog", f"{pri}{m} {d} {t} {host} {rest}")


@settings(max_examples=100, deadline=None)
@given(word, small, dates.map("{:%Y.%m.%d}".format), month, syslog_day, clock_time, word, prose)
def test_thunderbird(label, epoch, seen, m, d, t, location, rest):
    agree("thunderbird", f"{label} {epoch} {seen} dn1 {m} {d} {t} {location} {rest}")


@settings(max_examples=100, deadline=None)
@given(small, word, word, word, small, st.sampled_from(["1", "0", "-1", "x"]), ending)
def test_hpc(log_id, node, component, state, epoch, flag, message):
    agree("hpc", f"{log_id} {node} {component} {state} {epoch} {flag}{message}")


@settings(max_examples=100, deadline=None)
@given(st.datetimes(), small, word, prose, prose)
def test_hdfs(moment, pid, level, component, message):
    agree("hdfs", f"{moment:%y%m%d %H%M%S} {pid} {level} {component}: {message}")


def test_what_is_no_number_of_a_process():
    for rest in ("[-]:", "x[-]: y", "x[1_0]:", "x[1_0]: y", "[]:", "[+5]: y", "[12]:"):
        agree("syslog", f"Jan  1 00:00:00 host {rest}")


def test_the_twin_reads_every_example():
    seen = 0
    for name in slow_parser.FORMATS:
        for line, _ in load(name).examples:
            if "\n" not in line and r"\x" not in line:
                assert agree(name, line)
                seen += 1
    assert seen >= 14
