"""Time patterns: values against datetime.strptime and zoneinfo, widths, years, folds, leap seconds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit.errors import FormatError
from hpckit.formats import time_fixed_width, time_min_width
from hpckit.formats.times import Clock, has_zone, needs_year, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
PATTERNS = ["%Y-%m-%d %H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S", "%a %b %d %I:%M:%S %p %Y", "%y%m%d %H%M%S", "%Y %j %H:%M:%S",
            "%A, %d %B %Y %H.%M.%S", "%Y-%m-%dT%H:%M:%S.%f%z"]  # fmt: skip


def us(moment: datetime) -> int:
    return (moment.astimezone(timezone.utc) - EPOCH) // timedelta(microseconds=1)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(PATTERNS),
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)),
    st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)
def test_agrees_with_strptime(pattern, moment, zone):
    text = moment.replace(tzinfo=zone).strftime(pattern)
    theirs = datetime.strptime(text, pattern)
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=timezone.utc)
    assert parse_time(text, pattern) == us(theirs)
    assert len(text) >= time_min_width(pattern)
    assert time_fixed_width(pattern) in (None, len(text))


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)), st.sampled_from(["Europe/Berlin", "America/New_York"]))
def test_local_times_agree_with_zoneinfo(moment, zone):
    text = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    assert parse_time(text, "%Y-%m-%d %H:%M:%S.%f", Clock(zone)) == us(moment.replace(fold=0, tzinfo=ZoneInfo(zone)))


def test_a_time_that_occurs_twice_is_the_first_and_one_that_is_skipped_goes_on():
    berlin = Clock("Europe/Berlin")
    assert parse_time("2024-10-27 02:30", "%Y-%m-%d %H:%M", berlin) == us(
        datetime(2024, 10, 27, 0, 30, tzinfo=timezone.utc)
    )
    assert parse_time("2024-03-31 02:30", "%Y-%m-%d %H:%M", berlin) == us(
        datetime(2024, 3, 31, 1, 30, tzinfo=timezone.utc)
    )


@pytest.mark.parametrize(
    ("text", "pattern", "wanted"),
    [
        ("2016-12-31 23:59:60", "%Y-%m-%d %H:%M:%S", datetime(2017, 1, 1)),
        ("2024-01-02 03:04:05", "%F %T%.f", datetime(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02 03:04:05,5", "%F %T%.f", datetime(2024, 1, 2, 3, 4, 5, 500_000)),
        ("2024-01-02 03:04:05.123456789", "%F %T%.f", datetime(2024, 1, 2, 3, 4, 5, 123_456)),
        ("2024-01-02 03:04:05.123456789", "%F %T.%9f", datetime(2024, 1, 2, 3, 4, 5, 123_456)),
        ("jun  4 2024", "%b %e %Y", datetime(2024, 6, 4)),
        ("Jun 4 2024", "%b %e %Y", datetime(2024, 6, 4)),
        ("May 04 2024", "%B %e %Y", datetime(2024, 5, 4)),
        ("12 AM 2024", "%I %p %Y", datetime(2024, 1, 1, 0)),
        ("12 pm 2024", "%I %p %Y", datetime(2024, 1, 1, 12)),
        ("-1.25", "%s", datetime(1969, 12, 31, 23, 59, 58, 750_000)),
        ("1704164645.5", "%s", datetime(2024, 1, 2, 3, 4, 5, 500_000)),
        ("1704164645500", "%Q", datetime(2024, 1, 2, 3, 4, 5, 500_000)),
        ("1704164645500000", "%U", datetime(2024, 1, 2, 3, 4, 5, 500_000)),
        ("2024-01-02 03:04 GMT", "%F %R %Z", datetime(2024, 1, 2, 3, 4)),
        ("2024-01-02 03:04 CET", "%F %R %Z", datetime(2024, 1, 2, 2, 4)),  # of the zone that the clock names
        ("2024-01-02 03:04Z", "%F %R%z", datetime(2024, 1, 2, 3, 4)),
        ("2024-01-02 03:04+05", "%F %R%z", datetime(2024, 1, 1, 22, 4)),
        ("100%", "%j%%", datetime(2024, 4, 9)),
        ("2005.11.09 Dec 31", "%Y.%m.%d %b %e", datetime(2005, 12, 31)),  # the later directive counts
    ],
)
def test_directives(text, pattern, wanted):
    zone = "Europe/Berlin" if "CET" in text else "UTC"
    assert parse_time(text, pattern, Clock(zone, year=2024)) == us(wanted.replace(tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2023-02-29", "%F"), ("2024-13-01", "%F"), ("2024-1-01", "%F"), ("24:00", "%R"), ("13 PM", "%I %p"),
        ("03:04:61", "%T"), ("1.5", "%Q"), ("03:04:05.", "%T%.f"), ("03:04:05.1234567890", "%T.%f"), ("367", "%j"),
        ("+25:00", "%z"), ("03:04:05.12", "%T.%3f"), ("2024-01-01 ", "%F"), ("٢٠٢٤-01-01", "%F"), ("Foo 1", "%b %e"),
    ],
)  # fmt: skip
def test_what_is_no_time(text, pattern):
    with pytest.raises(ValueError, match=r"\w"):
        parse_time(text, pattern, Clock(year=2024))


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1999, 1, 1), datetime(2031, 1, 1)), st.timedeltas(timedelta(0), timedelta(days=364)))
def test_the_missing_year_is_the_latest_that_is_not_after_the_file(newest, age):
    moment = (newest - age).replace(microsecond=0)
    clock = Clock(newest_us=us(newest.replace(tzinfo=timezone.utc)))
    assert parse_time(f"{moment:%b %d %H:%M:%S}", "%b %e %H:%M:%S", clock) == us(moment.replace(tzinfo=timezone.utc))


def test_a_leap_day_without_a_year_goes_back_to_a_leap_year():
    clock = Clock(newest_us=us(datetime(2024, 2, 28, tzinfo=timezone.utc)))
    assert parse_time("Feb 29", "%b %e", clock) == us(datetime(2020, 2, 29, tzinfo=timezone.utc))


def test_widths_and_what_a_pattern_lacks():
    assert (time_min_width("%b %e %H:%M:%S"), time_fixed_width("%b %e %H:%M:%S")) == (14, None)
    assert (time_min_width("%Y-%m-%d %T,%3f"), time_fixed_width("%Y-%m-%d %T,%3f")) == (23, 23)
    assert (time_min_width("%T%.f"), time_fixed_width("%T%.f")) == (8, None)
    assert needs_year("%b %e %T")
    assert not needs_year("%s")
    assert has_zone("%F %T%z")
    assert not has_zone("%F %T")
    with pytest.raises(FormatError, match="unknown directive '%k'"):
        time_min_width("%k")
    with pytest.raises(FormatError, match="Nowhere/City"):
        parse_time("00:00", "%R", Clock("Nowhere/City", year=2024))
