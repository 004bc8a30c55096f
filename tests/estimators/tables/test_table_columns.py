"""Reading tables, and what is inferred for each column."""

import datetime
import decimal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn.estimators.tables.columns import Columns, learn, number_of_text
from dnn.estimators.tables.dates import (
    PARTS,
    parts_of_array,
    parts_of_one,
    seconds_of_datetime,
    seconds_of_text,
)

ROWS = 40
NAN = float("nan")


def filler(n=ROWS):
    """Return a column of numbers that stays beside the column of a test."""
    return (np.arange(n) ** 2 / 7).tolist()


def one(cells, kinds=None):
    """Return what is inferred for a column, and its numbers and codes."""
    given_kinds = None if kinds is None else {"a": kinds}
    columns, numbers, codes = learn({"a": cells, "z": filler(len(cells))}, given_kinds)
    return columns.columns[0], numbers[:, : len(columns.columns[0].number_names)], codes


KINDS = {
    "floats": ([0.5, 1.25] * 20, "number"),
    "few integers": ([1, 2, 3, 4] * 10, "number"),
    "distinct floats": (np.linspace(0, 1, ROWS).tolist(), "number"),
    "distinct integers far apart": ((np.arange(ROWS) ** 3).tolist(), "number"),
    "row numbers with gaps": ((np.arange(100) * 3 // 2).tolist(), "dropped"),
    "consecutive years": (list(range(1980, 2020)), "number"),
    "decimals": ([decimal.Decimal("1.5"), None] * 20, "number"),
    "numbers in text": (["12.5", "1,234", "-3e2", " 7 "] * 10, "number"),
    "numbers and few exceptions": (["1", "2"] * 19 + ["3", "none yet"], "number"),
    "numbers and many exceptions": (["1", "two"] * 20, "category"),
    "leading zeros": (["01", "02"] * 20, "category"),
    "text": (["u", "v"] * 20, "category"),
    "mixed": ([1, "u", 2.0, None] * 10, "category"),
    "booleans": ([True, False] * 20, "boolean"),
    "booleans and missing": ([True, None, False, True] * 10, "boolean"),
    "dates": ([datetime.date(2024, 1, 1), datetime.datetime(2024, 3, 1, 7)] * 20, "date"),
    "dates in text": (["2024-01-31", "2024-02-29"] * 20, "date"),
    "versions": (["1.10.12", "2.1.11"] * 20, "category"),
    "missing": ([None, NAN] * 20, "dropped"),
    "missing text": (["", "?", "NA", "n/a"] * 10, "dropped"),
    "constant": (["u"] * ROWS, "dropped"),
    "constant number": ([1.0] * ROWS, "dropped"),
    "constant and missing": ([1.0, None] * 20, "number"),
    "constant text and missing": (["u", None] * 20, "category"),
    "names": ([f"person {i}" for i in range(ROWS)], "dropped"),
    "distinct dates": ([f"2024-01-{i % 28 + 1:02}T{i % 24:02}:30" for i in range(ROWS)], "date"),
}


@pytest.mark.parametrize("case", KINDS)
def test_the_kind_is_inferred(case):
    cells, kind = KINDS[case]
    column, _, _ = one(cells)
    assert column.kind == kind
    assert (column.kind == "dropped") <= bool(column.remark)


def test_row_numbers_are_kept_if_nothing_else_is_left():
    columns, numbers, _ = learn({"x": list(range(100))})
    assert columns.columns[0].kind == "number" and numbers.shape == (100, 1)


def test_a_random_part_of_row_numbers_is_an_identifier():
    part = np.random.default_rng(0).permutation(1000)[:700]
    assert one(part.tolist())[0].remark.startswith("identifier")
    drawn = np.random.default_rng(0).integers(0, 1000, 700)
    assert one(drawn.tolist())[0].kind == "number"


def test_missing_cells():
    column, numbers, _ = one(["1", "?", "3", None, "NaN", ""] * 7)
    assert column.missing == pytest.approx(4 / 6)
    assert np.array_equal(np.isnan(numbers[:6, 0]), [False, True, False, True, True, True])
    column, _, codes = one(["u", "?", NAN, None, "v", pd.NA, pd.NaT, np.datetime64("NaT", "s")] * 5)
    assert column.levels == [None, "u", "v"]
    assert codes[:8, 0].tolist() == [2, 1, 1, 1, 3, 1, 1, 1]


def test_exceptions_among_numbers_are_missing_also_later():
    columns, numbers, _ = learn({"a": ["1", "2"] * 19 + ["3", "none yet"]})
    assert np.isnan(numbers[-1, 0]) and "none yet" in columns.columns[0].remark
    later, _ = columns.read({"a": ["none yet", "2"]})
    assert np.isnan(later[0, 0]) and later[1, 0] == 2
    with pytest.raises(
        ValueError, match="column 'a' of X must hold numbers, as in fit, got 'never' in row 1"
    ):
        columns.read({"a": ["1", "never"]})


def test_numbers_in_text():
    texts = {"12": 12, "-1.5": -1.5, "+.5": 0.5, "1e-3": 1e-3, "1,234,567.5": 1234567.5}
    assert {text: number_of_text(text) for text in texts} == texts
    assert [number_of_text(text) for text in ("1_000", "inf", "1,23", "12,5", "0x10", "1 2", "")] == [
        None
    ] * 7


def test_levels_are_sorted_and_unseen_ones_are_0():
    columns, _, codes = learn({"a": ["w", "u", "v ", "v"] * 10})
    assert columns.columns[0].levels == ["u", "v", "w"] and codes[:4, 0].tolist() == [3, 1, 2, 2]
    _, later = columns.read({"a": ["v", "new", None, 5]})
    assert later[:, 0].tolist() == [2, 0, 0, 0]


def test_codes_do_not_depend_on_how_a_level_is_written():
    columns, _, _ = learn({"a": [1, 2, "u"] * 10})
    assert columns.columns[0].levels == ["1", "2", "u"]
    assert columns.read({"a": [1.0, 2.0, np.int8(1)]})[1][:, 0].tolist() == [1, 2, 1]
    assert one([1, 10**400, "u"] * 10)[0].levels == ["1", "inf", "u"]
    columns, _, _ = learn({"a": [True, False, None] * 10})
    for same in (
        [True, False],
        [1, 0],
        ["true", "F"],
        ["TRUE", "False"],
        np.array([True, False]),
        [1.0, "False"],
    ):
        assert columns.read({"a": same})[1][:, 0].tolist() == [3, 2]


# Dates

ORDERS = {
    "day first": (["3/12/2016", "25/12/2016"], [(2016, 12, 3), (2016, 12, 25)], "day/month/year"),
    "month first": (["3/12/16", "12/25/99"], [(2016, 3, 12), (1999, 12, 25)], "month/day/year"),
    "ambiguous": (["3/12/2016", "4/11/2016"], [(2016, 3, 12), (2016, 4, 11)], "month/day/year was assumed"),
    "dots": (["3.12.2016", "4.11.2016"], [(2016, 12, 3), (2016, 11, 4)], "day.month.year was assumed"),
    "year first": (["2016-12-03", "2016/11/4"], [(2016, 12, 3), (2016, 11, 4)], "year-month-day"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_the_order_of_a_date_is_decided_over_the_column(case):
    texts, dates, remark = ORDERS[case]
    column, numbers, _ = one(texts * 20)
    assert column.kind == "date" and column.remark.startswith(remark)
    seconds = [seconds_of_text(text, column.day_first) for text in texts]
    assert seconds == [seconds_of_datetime(datetime.date(*each)) for each in dates]
    assert numbers[0, column.parts.index("day")] == dates[0][2]


def test_dates_of_two_orders_are_a_category():
    assert one(["13/12/2016", "12/13/2016"] * 20)[0].kind == "category"


def test_times_in_text():
    half = 12.5 * 3600
    for text in ("1970-01-01T12:30", "1970-01-01 12:30:00.0Z", "1/1/1970 12:30 PM", "1970-01-01 12:30+02:00"):
        assert seconds_of_text(text, False) == half
    for text in ("1970-01-01 25:00", "1970-02-30", "31/31/1970", "1/1/1970 at noon"):
        assert seconds_of_text(text, False) is None


def test_a_date_that_cannot_be_read_later_is_an_error():
    columns, _, _ = learn({"a": ["25/12/2016", "26/12/2016"] * 20})
    with pytest.raises(
        ValueError, match="column 'a' of X must hold dates, as in fit, got '12/25/2016' in row 0"
    ):
        columns.read({"a": ["12/25/2016"]})
    with pytest.raises(
        ValueError, match="column 'a' of X must hold dates, as in fit, got the number 3 in row 0"
    ):
        columns.read({"a": [3]})


def test_parts_of_dates_are_those_of_pandas():
    stamps = pd.Series(pd.date_range("1899-11-30 01:30", "2100-03-02", periods=500))
    parts = parts_of_array(np.array([seconds_of_datetime(stamp) for stamp in stamps]), 10)
    by_name = dict(zip(PARTS, parts.T, strict=True))
    for name, attribute in (("year", "year"), ("month", "month"), ("day", "day"), ("weekday", "day_of_week")):
        assert np.array_equal(by_name[name], getattr(stamps.dt, attribute))
    assert np.allclose(by_name["hour"], (stamps - stamps.dt.normalize()).dt.total_seconds() / 3600)
    days = (stamps.dt.normalize() - pd.Timestamp("1970-01-11")).dt.days
    assert np.array_equal(by_name["day_number"], days)
    length = 365 + stamps.dt.is_leap_year
    angle = 2 * np.pi * (stamps.dt.day_of_year - 1 + by_name["hour"] / 24) / length
    assert np.allclose(by_name["year_sin"], np.sin(angle)) and np.allclose(by_name["year_cos"], np.cos(angle))


@given(st.integers(-6 * 10**16, 25 * 10**16).map(lambda microseconds: microseconds / 1e6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_one_date_has_the_same_parts_as_many(seconds):
    assert np.allclose(parts_of_one(seconds, 3), parts_of_array(np.array([seconds]), 3)[0], rtol=0, atol=1e-9)


def test_constant_parts_are_left_out():
    column, _, _ = one(["2024-01-01 07:00", "2024-01-02 07:00", "2024-01-03 07:00", None] * 10)
    assert column.parts == ["day", "weekday", "day_number", "year_sin", "year_cos"]


# Tables of all libraries


def cells():
    """Return a table as a dict of lists."""
    return {
        "number": [0.5, None, 2.25, 3.0] * 10,
        "integer": [1, 2, 3, 5] * 10,
        "flag": [True, None, False, True] * 10,
        "text": ["u", None, "w", "?"] * 10,
        "when": [datetime.datetime(2024, 1, 1, 5), None, datetime.datetime(2024, 7, 2), None] * 10,
    }


def as_categories(frame):
    return frame.assign(text=frame["text"].astype("category"), flag=frame["flag"].astype("boolean"))


TABLES = {
    "pandas": lambda: pd.DataFrame(cells()),
    "pandas, objects": lambda: pd.DataFrame(cells()).astype(object),
    "pandas, categories": lambda: as_categories(pd.DataFrame(cells())),
    "pandas, extension types": lambda: pd.DataFrame(cells()).convert_dtypes(),
    "pandas, time zone": lambda: pd.DataFrame(cells()).assign(
        when=pd.to_datetime(pd.Series(cells()["when"])).dt.tz_localize("Asia/Tokyo")
    ),
    "polars": lambda: pl.DataFrame(cells()),
    "polars, categories": lambda: pl.DataFrame(cells()).with_columns(
        pl.col("text").cast(pl.Categorical), pl.col("when").dt.replace_time_zone("Asia/Tokyo")
    ),
    "dict of arrays": lambda: {name: np.array(column, dtype=object) for name, column in cells().items()},
    "dict of series": lambda: dict(pd.DataFrame(cells()).items()),
    "dict of polars series": lambda: {each.name: each for each in pl.DataFrame(cells())},
    "list of dicts": lambda: pd.DataFrame(cells()).astype(object).to_dict("records"),
    "structured array": lambda: np.array(
        list(zip(*cells().values(), strict=True)), dtype=[(name, object) for name in cells()]
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_all_tables_are_read_alike(kind):
    columns, numbers, codes = learn(cells())
    other, other_numbers, other_codes = learn(TABLES[kind]())
    assert [column.kind for column in columns.columns] == ["number", "number", "boolean", "category", "date"]
    assert other.get_state() == columns.get_state()
    assert np.array_equal(numbers, other_numbers, equal_nan=True) and np.array_equal(codes, other_codes)
    numbers, codes = columns.read(TABLES[kind]())
    assert np.array_equal(numbers, other_numbers, equal_nan=True) and np.array_equal(codes, other_codes)


def test_arrow_tables_are_read_alike():
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    table = pyarrow.Table.from_pandas(pd.DataFrame(cells()), preserve_index=False)
    state = learn(cells())[0].get_state()
    assert learn(table)[0].get_state() == state
    coded = table.set_column(3, "text", table.column("text").dictionary_encode())
    assert learn(coded)[0].get_state() == state


def test_arrays_have_names_by_position():
    columns, numbers, codes = learn(np.array([[1.5, "u"], [2.5, "v"], [None, "u"]], dtype=object))
    assert columns.number_names == ["x0"] and columns.category_names == ["x1"]
    assert numbers.shape == (3, 1) and codes[:, 0].tolist() == [1, 2, 1]
    assert columns.read([[4, "v"]])[0].tolist() == [[4.0]]
    assert columns.read(pd.DataFrame({"a": [4], "b": ["v"]}))[1].tolist() == [[2]]
    with pytest.raises(ValueError, match="X must have 2 columns, as in fit, got 3"):
        columns.read(np.ones((2, 3)))


def test_dtypes_of_numbers():
    for dtype in ("float32", "int8", "uint64", ">f8", "float16"):
        assert learn(np.array([[1, 2], [3, 5]], dtype=dtype))[1].tolist() == [[1, 2], [3, 5]]
    assert learn({"a": np.array([1, 2], dtype="m8[s]")})[1].tolist() == [[1], [2]]


def test_one_row_is_a_dict_of_cells():
    columns, _, _ = learn({"a": [1.5, 2.5], "b": ["u", "v"]})
    numbers, codes = columns.read({"a": 3, "b": "v"})
    assert numbers.tolist() == [[3]] and codes.tolist() == [[2]]


# Columns that lack, and those that are known better


def test_lacking_columns_are_missing_and_others_are_ignored():
    columns, _, _ = learn({"a": [1.0, 2.0], "b": ["u", None], "c": [1, 3], "constant": [1, 1]})
    with pytest.warns(
        UserWarning, match="X lacks columns of fit, which are read as missing: 'a', 'b'"
    ) as caught:
        numbers, codes = columns.read({"c": [5], "more": ["?"]})
    assert len(caught) == 1
    assert np.isnan(numbers[0, 0]) and numbers[0, 1] == 5 and codes.tolist() == [[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns.read({"a": [1], "b": ["u"], "c": [1]})  # a dropped column is not missed
    with pytest.raises(
        ValueError, match="X must have the columns of fit, 'a', 'b', 'c', got none of them but 'q'"
    ):
        columns.read({"q": [1]})


def test_kinds():
    assert one([1, 2, 3, 4] * 10, "category")[0].levels == ["1", "2", "3", "4"]
    assert one(list(range(ROWS)), "number")[0].kind == "number"
    assert one([f"n{i}" for i in range(ROWS)], "category")[0].kind == "category"
    column, _, codes = one(["T", "F", "t", "?"] * 10, "boolean")
    assert column.levels == [None, "False", "True"] and codes[:4, 0].tolist() == [3, 2, 3, 1]
    assert one([0.5, 1] * 20, "dropped")[0].remark == "dropped as requested"
    assert one([True, False] * 20, "number")[0].kind == "number"
    assert one(["01/02/2003", "02/02/2003"] * 20, "date")[0].kind == "date"
    with pytest.raises(
        ValueError, match="column 'a' of X must hold numbers, as kinds says, got 'u' in row 1"
    ):
        one(["1", "u"] * 20, "number")
    with pytest.raises(ValueError, match="column 'a' of X must hold booleans, as kinds says, got '2'"):
        one([1, 2] * 20, "boolean")
    with pytest.raises(ValueError, match="kinds must name columns of X, got 'q'"):
        learn({"a": [1, 2]}, {"q": "number"})
    with pytest.raises(ValueError, match=r"kinds\['a'\] must be one of .* got 'numbr'"):
        learn({"a": [1, 2]}, {"a": "numbr"})


# Errors

REFUSED = {
    "no table": (lambda: "abc", TypeError, "X must be a table, got 'abc'"),
    "no columns": (lambda: {}, ValueError, "at least one column, got none"),
    "no rows": (lambda: {"a": []}, ValueError, "at least one row, got none"),
    "one row": (lambda: {"a": [1]}, ValueError, "at least 2 rows in fit, got 1"),
    "one axis": (lambda: [1, 2], ValueError, "rows and columns, got 1 axes"),
    "ragged rows": (lambda: [[1, 2], [3]], ValueError, "the same number of cells in each row"),
    "ragged columns": (
        lambda: {"a": [1, 2], "b": [1]}, ValueError, "as column 'a', which has 2, got 1 in column 'b'"
    ),
    "a series": (lambda: pd.Series([1, 2]), TypeError, "got a pandas Series: use X.to_frame()"),
    "a lazy frame": (lambda: pl.LazyFrame({"a": [1, 2]}), TypeError, "got a LazyFrame of polars"),
    "equal names": (
        lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), ValueError, "got two columns 'a'"
    ),
    "infinity": (lambda: {"a": [1, np.inf]}, ValueError, "column 'a' .* finite numbers, got inf in row 1"),
    "huge": (lambda: {"a": [1, -(10**400)]}, ValueError, "must hold finite numbers, got -inf in row 1"),
    "a list": (lambda: {"a": [1, [2]]}, TypeError, r"column 'a' of X .* got \[2\] \(list\) in row 1"),
    "complex": (lambda: {"a": np.array([1j, 2])}, TypeError, "column 'a' of X .* got complex numbers"),
    "a complex cell": (lambda: {"a": [1, 2j]}, TypeError, r"column 'a' of X .* got 2j \(complex\) in row 1"),
    "nothing to learn": (
        lambda: {"a": [1, 1], "b": [None, None]},
        ValueError,
        "a column to learn from, got 'a': constant: 1; 'b': all values are missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_tables_give_one_clear_error(case):
    table, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        learn(table())


def test_the_largest_numbers_do_not_overflow():
    _, numbers, _ = learn({"a": [1e308, -1e308, 1.0]})
    assert np.isfinite(numbers.max() - numbers.min())


def test_state():
    columns, _, _ = learn(cells())
    again = Columns.from_state(columns.get_state())
    numbers, codes = columns.read(cells())
    other_numbers, other_codes = again.read(cells())
    assert np.array_equal(numbers, other_numbers, equal_nan=True) and np.array_equal(codes, other_codes)


def test_dicts_and_arrays_need_no_other_library():
    code = (
        "import sys; sys.modules['pandas'] = sys.modules['polars'] = sys.modules['pyarrow'] = None\n"
        "import dnn, numpy as np\n"
        "dates = np.array(['2024-01-01', '2024-01-03', 'NaT'], 'M8')\n"
        "table = {'a': [1.5, None, 2.5], 'b': ['u', 'v', '?'], 'c': dates}\n"
        "print(dnn.TableEncoder(n_bins=2).fit_transform(table).shape)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "(3, 15)"


# Published tables


def test_adult_as_published(data_folder):
    """The file has spaces before its texts, and " ?" for missing ones."""
    frame = pd.read_csv(data_folder / "adult" / "adult-train.csv", header=None).drop(columns=14)
    columns, _, _ = learn(frame)
    kinds = {column.name: column.kind for column in columns.columns}
    assert {name for name, kind in kinds.items() if kind == "number"} == {"0", "2", "4", "10", "11", "12"}
    assert set(kinds.values()) == {"number", "category"}
    missing = {column.name: round(column.missing * 32561) for column in columns.columns if column.missing}
    assert missing == {"1": 1836, "6": 1843, "13": 583}
    assert (
        columns.columns[13].levels[:3] == [None, "Cambodia", "Canada"]
        and len(columns.columns[13].levels) == 42
    )


def test_bike_sharing_as_published(data_folder):
    columns, numbers, _ = learn(pd.read_csv(data_folder / "bike_sharing" / "hour.csv"))
    by_name = {column.name: column for column in columns.columns}
    assert [name for name, column in by_name.items() if column.kind == "dropped"] == ["instant"]
    assert by_name["instant"].remark.startswith("identifier")
    date = by_name["dteday"]
    assert date.kind == "date" and date.remark == "month/day/year"
    names = columns.number_names
    year, month = (numbers[:, names.index(f"dteday_{part}")] for part in ("year", "month"))
    assert np.array_equal(year - 2011, numbers[:, names.index("yr")])
    assert np.array_equal(month, numbers[:, names.index("mnth")])
