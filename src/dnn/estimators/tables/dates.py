"""Dates in tables: reading them from text, and the numbers that they become.

A date is held as seconds since 1970-01-01 on the clock of its own time zone, because the hour of the day
matters, and not the hour in Greenwich.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np

PARTS = ("year", "month", "day", "weekday", "hour", "day_number", "year_sin", "year_cos")
DAY = 86400
EPOCH = date(1970, 1, 1).toordinal()

_TIME = (
    r"(?:[T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_FIRST = re.compile(r"(?P<a>\d{4})([-/.])(?P<b>\d{1,2})\2(?P<c>\d{1,2})" + _TIME)
# Two digits are a year after / and - only, because 1.10.12 may be the version of a program.
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})([-/.])(?P<b>\d{1,2})\2(?P<c>\d{4}|(?<=[-/])\d{2})" + _TIME)


class Fields(NamedTuple):
    """The three fields of a date in text, the seconds of its day, and whether dots separate the fields."""

    year_first: bool
    a: int
    b: int
    c: int
    seconds: float
    dots: bool


def fields_of(text: str) -> Fields | None:
    """Return the fields of a date, None for other text.

    Examples
    --------
    >>> fields_of("2016-12-03 14:30")
    Fields(year_first=True, a=2016, b=12, c=3, seconds=52200.0, dots=False)
    """
    first = True
    match = _YEAR_FIRST.fullmatch(text)
    if match is None:
        first, match = False, _YEAR_LAST.fullmatch(text)
        if match is None:
            return None
    a, b, c = int(match["a"]), int(match["b"]), int(match["c"])
    if not first and len(match["c"]) == 2:
        c += 1900 if c >= 69 else 2000  # as POSIX reads %y
    seconds = 0.0
    if match["hour"] is not None:
        hour, minute, second = int(match["hour"]), int(match["minute"]), float(match["second"] or 0)
        if match["half"] is not None:
            hour = hour % 12 + (12 if match["half"].lower() == "pm" else 0)
        if hour > 23 or minute > 59 or second >= 61:
            return None
        seconds = hour * 3600.0 + minute * 60 + second
    return Fields(first, a, b, c, seconds, match[2] == ".")


def seconds_of_fields(fields: Fields | None, day_first: bool | None) -> float | None:
    """Return the seconds since 1970 of the fields of a date, None if there is no such day.

    `day_first` is the order of day and month before a year; with None such dates are not read.
    """
    if fields is None or not (fields.year_first or day_first is not None):
        return None
    first, a, b, c, seconds, _ = fields
    year, month, day = (a, b, c) if first else (c, b, a) if day_first else (c, a, b)
    try:
        return (date(year, month, day).toordinal() - EPOCH) * DAY + seconds
    except ValueError:
        return None


def seconds_of_text(text: str, day_first: bool | None) -> float | None:
    """Return the seconds since 1970 of a date in text, None if it is none.

    Examples
    --------
    >>> seconds_of_text("2/1/1970", day_first=True), seconds_of_text("1970-02-30", None)
    (86400.0, None)
    """
    return seconds_of_fields(fields_of(text), day_first)


def day_first_of(dates: Sequence[Fields | None]) -> tuple[bool | None, str]:
    """Return the order of day and month that all dates of a column agree on, and a remark for `describe`.

    The order is decided over the whole column: a first field above 12 is a day. If no field tells, the
    month is first, except after dots, where no country writes it so.

    Raises
    ------
    ValueError
        If some dates have the day first and others the month.

    Examples
    --------
    >>> day_first_of([fields_of("3/12/2016"), fields_of("25/12/2016")])
    (True, 'day/month/year')
    """
    last = [each for each in dates if each is not None and not each.year_first]
    if not last:
        return None, "year-month-day"
    days = any(each.a > 12 for each in last)
    months = any(each.b > 12 for each in last)
    if days and months:
        raise ValueError("some dates have the day first, others the month")
    if days or months:
        return days, "day/month/year" if days else "month/day/year"
    days = all(each.dots for each in last)
    order = "day.month.year" if days else "month/day/year"
    return days, f"{order} was assumed: no date tells day and month apart"


def seconds_of_datetime(value: Any) -> float:
    """Return the seconds since 1970 of a date or datetime of Python, or of a subclass."""
    seconds = float((value.toordinal() - EPOCH) * DAY)
    if isinstance(value, datetime):
        seconds += value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    return seconds


def seconds_of_array(values: np.ndarray) -> np.ndarray:
    """Return the seconds since 1970 (n,) of an array of datetime64, NaN for NaT."""
    micro = values.astype("datetime64[us]")
    seconds: np.ndarray = micro.astype(np.int64) / 1e6
    seconds[np.isnat(micro)] = np.nan
    return seconds


def parts_of_array(seconds: np.ndarray, origin: int) -> np.ndarray:
    """Return the numbers (n, 8) that dates become, in the order of PARTS, NaN for missing dates.

    Parameters
    ----------
    seconds : ndarray of shape (n,)
        Seconds since 1970.
    origin : int
        Day from which days are numbered, as days since 1970.

    Examples
    --------
    >>> parts_of_array(np.array([1.5 * 86400]), 0)[0, :6].tolist()
    [1970.0, 1.0, 2.0, 4.0, 12.0, 1.0]
    """
    missing = np.isnan(seconds)
    known = np.where(missing, 0.0, seconds)
    day_number, in_day = np.divmod(known, DAY)  # as Python's divmod in `parts_of_one`
    days = day_number.astype(np.int64).astype("datetime64[D]")
    months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    hour = in_day / 3600
    new_year = years.astype("datetime64[D]")
    length = ((years + np.timedelta64(1, "Y")).astype("datetime64[D]") - new_year).astype(np.float64)
    phase = 2 * math.pi * ((days - new_year).astype(np.float64) + hour / 24) / length
    parts: np.ndarray = np.stack(
        [
            years.astype(np.float64) + 1970,
            (months - years.astype("datetime64[M]")).astype(np.float64) + 1,
            (days - months.astype("datetime64[D]")).astype(np.float64) + 1,
            (day_number + 3) % 7,  # 0 is Monday, and 1970 began on a Thursday
            hour,
            day_number - origin,
            np.sin(phase),
            np.cos(phase),
        ],
        axis=1,
    )
    parts[missing] = np.nan
    return parts


def parts_of_one(seconds: float, origin: int) -> tuple[float, ...]:
    """Return what `parts_of_array` returns for one date, in a few microseconds."""
    days, rest = divmod(seconds, DAY)
    number = int(days)
    day = date.fromordinal(number + EPOCH)
    new_year = date(day.year, 1, 1).toordinal()
    length = 366 if day.year % 4 == 0 and (day.year % 100 or day.year % 400 == 0) else 365
    hour = rest / 3600
    phase = 2 * math.pi * (number + EPOCH - new_year + hour / 24) / length
    return (
        float(day.year), float(day.month), float(day.day), float(day.weekday()), hour, float(number - origin),
        math.sin(phase), math.cos(phase),
    )  # fmt: skip
