"""TableEncoder: the formulas of its codes, leakage, rows one by one, state, and scikit-learn's interface."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from dnn import TableEncoder
from dnn.estimators.tables.encoding import bin_edges


def sample(n=600, seed=0):
    """Return a table with all kinds of columns, and classes."""
    rng = np.random.default_rng(seed)
    table = {
        "size": rng.lognormal(size=n),
        "gain": np.where(rng.random(n) < 0.8, 0, rng.exponential(size=n)),
        "rooms": rng.integers(1, 6, n),
        "age": np.where(rng.random(n) < 0.1, np.nan, rng.normal(40, 9, n)),
        "sex": rng.choice(["f", "m"], n),
        "job": rng.choice([f"job {i}" for i in range(30)], n, p=np.arange(1, 31) / 465),
        "home": rng.choice(np.array(["own", "rent", None], dtype=object), n),
        "member": rng.random(n) < 0.3,
        "since": np.datetime64("2020-01-01") + rng.integers(0, 900, n),
        "unit": ["kg"] * n,
        "id": [f"customer {i}" for i in range(n)],
    }
    return table, (table["size"] + rng.normal(size=n) > 1).astype(int)


def rows_of(table):
    return pd.DataFrame(table).astype(object).to_dict("records")


# Numbers


def piecewise_linear(x, edges):
    """Return equations 1 and 2 of arXiv 2203.05556 for a value between the first and the last edge."""
    T, code = len(edges) - 1, []
    for t in range(1, T + 1):
        low, high = edges[t - 1], edges[t]
        if x < low and t > 1:
            code.append(0.0)
        elif x >= high and t < T:
            code.append(1.0)
        else:
            code.append((x - low) / (high - low))
    return code


@pytest.mark.parametrize("n_bins", [2, 5, 24])
def test_bins_agree_with_the_formula(n_bins):
    table, _ = sample()
    encoder = TableEncoder(n_bins=n_bins)
    Z = encoder.fit_transform(table).toarray()
    assert len(encoder.columns_.number_names) == 11
    for name in ("size", "gain", "rooms"):
        at = encoder.columns_.number_names.index(name)
        edges, place = encoder.edges_[at], encoder.number_slices_[at]
        assert 3 <= len(edges) <= n_bins + 1
        assert place.stop - place.start == len(edges)  # one for the scaled number, one per bin
        expected = np.array([piecewise_linear(float(x), edges.tolist()) for x in table[name]])
        assert np.allclose(Z[:, place.start + 1 : place.stop], expected, rtol=0, atol=1e-6)


def test_values_outside_of_the_edges_are_read_as_the_nearest_edge():
    encoder = TableEncoder(dense=True, n_bins=4).fit({"a": [1.0, 2.0, 3.0, 4.0]})
    assert encoder.transform({"a": [-100, 100]})[:, 1:].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_numbers_are_scaled_by_quartiles_and_clipped():
    values = np.array([0.0, 1.0, 2.0, 3.0, 1000.0])
    Z = TableEncoder(dense=True, piecewise=False).fit_transform({"a": values})
    x = (values - 2) / 2
    assert np.allclose(Z[:, 0], x / np.sqrt(1 + (x / 3) ** 2))
    assert Z.max() < 3.0001
    Z = TableEncoder(dense=True, piecewise=False).fit_transform({"a": [0, 0, 0, 0, 0, 0, 0, 0, 4]})
    assert np.allclose(Z[:, 0], [0] * 8 + [2 / np.sqrt(1 + 4 / 9)])  # by half of the range


def test_missing_numbers_are_the_median_and_indicated():
    encoder = TableEncoder(dense=True, n_bins=4)
    Z = encoder.fit_transform({"a": [1.0, 2.0, None, 9.0], "b": [1.0, 2.0, 3.0, 5.0]})
    assert encoder.get_feature_names_out()[:2].tolist() == ["a", "a_missing"]
    assert Z[:, 1].tolist() == [0, 0, 1, 0]
    assert np.array_equal(np.delete(Z[2, :4], 1), np.delete(Z[1, :4], 1))
    later = encoder.transform({"a": [2.0], "b": [None]})  # fit has not seen a missing b
    assert np.array_equal(later, encoder.transform({"a": [2.0], "b": [2.5]}))


def test_edges():
    grid = np.linspace(0, 1, 1001)
    assert np.allclose(bin_edges(grid, 4), [0, 0.25, 0.5, 0.75, 1], atol=2e-3)
    assert bin_edges(np.array([3, 1, 2, 1]), 24).tolist() == [1, 2, 3]
    assert len(bin_edges(np.array([0, 1, 1]), 24)) == 0  # the scaled number says all
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.concatenate([np.repeat(rng.normal(size=3), [200, 100, 60]), rng.normal(size=300)])
        edges = bin_edges(values, 10)
        levels, counts = np.unique(values, return_counts=True)
        assert set(levels[counts > len(values) / 10]) <= set(edges) and len(edges) <= 11
        assert np.all(np.diff(edges) > 0) and edges[0] == values.min() and edges[-1] == values.max()


# Categories


def test_one_hot_and_rare_levels():
    jobs = ["a"] * 50 + ["b"] * 47 + ["c", "d", "d"]
    encoder = TableEncoder(dense=True)
    Z = encoder.fit_transform({"job": jobs})
    assert encoder.get_feature_names_out().tolist() == ["job=a", "job=b", "job=<rare>"]
    assert Z[[0, 50, 97, 98]].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert encoder.transform({"job": ["e", None]}).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert "rare levels in one output: 2" in encoder.describe()


def test_many_levels_share_inputs_evenly():
    """The 64 most frequent of 400 levels have an input each; two or three of the others share one."""
    towns = [f"t{i:03}" for i in range(400) for _ in range(20 if i % 6 == 0 and i < 384 else 3)]
    encoder = TableEncoder(dense=True)
    Z = encoder.fit_transform({"town": towns})
    names = encoder.get_feature_names_out().tolist()
    assert names[:64] == [f"town=t{i:03}" for i in range(0, 384, 6)]
    assert names[64:] == [*(f"town=<rare{i}>" for i in range(1, 129)), "town_frequency"]
    each = encoder.transform({"town": sorted(set(towns))})[:, :192]
    assert set(each.sum(axis=0)[:64]) == {1} and set(each.sum(axis=0)[64:]) == {2, 3}
    assert set(each.sum(axis=1)) == {1} and Z.shape == (len(towns), 193)
    assert not encoder.transform({"town": ["elsewhere"]})[:, :192].any()
    assert "rare levels in 128 outputs: 336" in encoder.describe()


def test_target_statistics_of_classes():
    rng = np.random.default_rng(0)
    jobs, y = rng.choice(list("abcdefghijkl"), 500), rng.integers(0, 3, 500)
    encoder = TableEncoder(task="classification", dense=True).fit({"job": jobs}, y)
    names = encoder.get_feature_names_out().tolist()
    assert names[12:] == ["job_target1", "job_target2", "job_frequency"]
    Z = encoder.transform({"job": jobs})
    raw = []
    for k in (1, 2):
        prior = np.mean(y == k)
        raw.append([(np.sum(y[jobs == job] == k) + 10 * prior) / (np.sum(jobs == job) + 10) for job in jobs])
    raw.append([np.log1p(np.sum(jobs == job)) for job in jobs])
    raw = np.array(raw).T
    x = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    assert np.allclose(Z[:, 12:], x / np.sqrt(1 + (x / 3) ** 2), atol=1e-5)


def test_target_statistics_of_regression_are_of_the_standardized_target():
    rng = np.random.default_rng(0)
    jobs, y = rng.choice(list("abcdefghijkl"), 500), rng.normal(size=(500, 2))
    settings_ = {"task": "regression", "dense": True, "random_state": 0}
    Z = TableEncoder(**settings_).fit_transform({"job": jobs}, y)
    assert Z.shape[1] == 12 + 2 + 1
    assert np.allclose(
        Z, TableEncoder(**settings_).fit_transform({"job": jobs}, 1e-13 * y + 1e-13), atol=1e-4
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("n_levels", [50, 900])
def test_target_statistics_do_not_leak(task, n_levels):
    """The target is random: the statistic of a row must not tell its own target, as that of all rows does."""
    n, own_correlation, whole_correlation = 2000, [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        table = {"code": [f"c{i}" for i in rng.integers(0, n_levels, n)]}
        y = rng.integers(0, 2, n) if task == "classification" else rng.normal(size=n)
        encoder = TableEncoder(task=task, random_state=seed, dense=True)
        own = encoder.fit_transform(table, y)
        whole = encoder.transform(table)
        at = encoder.get_feature_names_out().tolist().index("code_target1")
        own_correlation.append(np.corrcoef(own[:, at], y)[0, 1])
        whole_correlation.append(np.corrcoef(whole[:, at], y)[0, 1])
        others = np.delete(np.arange(own.shape[1]), at)
        assert np.array_equal(own[:, others], whole[:, others])
    error = np.std(own_correlation) / np.sqrt(20)
    assert error < 0.02 and abs(np.mean(own_correlation)) < 3 * error
    assert np.mean(whole_correlation) > 0.15


def test_target_statistics_tell_the_target_of_other_rows():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 300, 5000)
    y = rng.normal(size=300)[level] + rng.normal(size=5000)
    table = {"code": [f"c{i}" for i in level]}
    encoder = TableEncoder(random_state=0, dense=True)
    own = encoder.fit_transform(table, y)
    at = encoder.get_feature_names_out().tolist().index("code_target1")
    assert np.corrcoef(own[:, at], y)[0, 1] > 0.6


def test_ten_thousand_levels():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 10_000, 30_000)
    encoder = TableEncoder(random_state=0)
    Z = encoder.fit_transform({"code": [f"c{i}" for i in level]}, rng.integers(0, 2, 30_000))
    assert Z.shape == (30_000, 64 + 128 + 1 + 1)
    sums = np.asarray(Z.sum(axis=0)).ravel()
    counts = np.sort(np.bincount(level))[::-1]
    assert np.array_equal(np.sort(sums[:64])[::-1], counts[:64]) and sums[64:192].sum() == counts[64:].sum()
    later = encoder.transform({"code": ["new", None]}).toarray()
    assert not later[:, :192].any() and np.isfinite(later).all()


# Output


def test_output_is_canonical():
    table, y = sample(9000)
    encoder = TableEncoder(random_state=0)
    Z = encoder.fit_transform(table, y)
    assert (
        isinstance(Z, csr_array) and Z.dtype == np.float32 and Z.indices.dtype == Z.indptr.dtype == np.int32
    )
    copy = csr_array((Z.data, Z.indices, Z.indptr), shape=Z.shape)
    assert copy.has_canonical_format and np.isfinite(Z.data).all()
    assert Z.shape[1] == len(encoder.get_feature_names_out()) == encoder.n_features_out_
    slices = [*encoder.number_slices_, *encoder.category_slices_]
    assert [place.start for place in slices] == [0, *(place.stop for place in slices[:-1])]
    assert slices[-1].stop == Z.shape[1]
    dense = clone(encoder).set_params(dense=True).fit_transform(table, y)
    assert type(dense) is np.ndarray and np.array_equal(dense, Z.toarray())
    part = slice(8190, 8200)  # rows are encoded in blocks of 8192
    some = encoder.transform({name: column[part] for name, column in table.items()})
    assert (some != encoder.transform(table)[part]).nnz == 0


def test_describe():
    table, y = sample()
    lines = TableEncoder().fit(table, y).describe().splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["size", "number"],
        ["gain", "number"],
        ["rooms", "number"],
        ["age", "number"],
        ["sex", "category"],
        ["job", "category"],
        ["home", "category"],
        ["member", "boolean"],
        ["since", "date"],
        ["unit", "dropped"],
        ["id", "dropped"],
    ]
    assert "2020-01-02 .. 2022-06-18" in lines[9] and "as year, month" in lines[9]
    assert "constant: 'kg'" in lines[10] and "identifier: 600 different texts in 600 rows" in lines[11]
    assert "target statistics and frequency" in lines[6]


# One row


def test_one_row_is_encoded_as_in_a_table():
    table, y = sample()
    for settings_ in ({}, {"piecewise": False}, {"n_bins": 3}):
        encoder = TableEncoder(dense=True, random_state=0, **settings_).fit(table, y)
        encode = encoder.row_encoder()
        one_by_one = np.vstack([encode(row) for row in rows_of(table)])
        assert one_by_one.dtype == np.float32 and np.array_equal(one_by_one, encoder.transform(table))
    frame = pd.DataFrame(table)
    assert np.array_equal(encode(frame.iloc[3]), one_by_one[3:4])
    assert np.array_equal(encode(list(rows_of(table)[3].values())), one_by_one[3:4])
    by_number = TableEncoder(dense=True).fit(pd.DataFrame(np.arange(6.0).reshape(3, 2) ** 2))
    assert np.array_equal(by_number.row_encoder()({0: 1, 1: 2}), by_number.transform([[1, 2]]))
    row = encode(rows_of(table)[0])
    row[:] = 0  # the array belongs to the caller
    assert np.array_equal(encode(rows_of(table)[0]), one_by_one[:1])


NUMBERS = st.one_of(
    st.none(), st.floats(allow_infinity=False), st.integers(-(10**30), 10**30), st.booleans(),
    st.just("1,500"), st.just(" ? "), st.just(pd.NA),
    st.floats(width=32, allow_infinity=False).map(np.float32),
)  # fmt: skip
TEXTS = st.one_of(st.none(), st.sampled_from(["u", " v ", "w", "NA", np.str_("u")]), st.text(), st.integers())
DATES = st.one_of(
    st.none(), st.datetimes(), st.dates(), st.sampled_from(["31/12/1999", "2024-02-29T05:00", ""]),
    st.just(pd.NaT), st.just(np.datetime64("2024-02-29T05")),
)  # fmt: skip


@given(number=NUMBERS, missing=NUMBERS, text=TEXTS, flag=st.one_of(st.booleans(), TEXTS), when=DATES)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_row_is_encoded_as_in_a_table(mixed_encoder, number, missing, text, flag, when):
    encoder, encode = mixed_encoder
    row = {"number": number, "missing": missing, "text": text, "flag": flag, "when": when}
    expected = encoder.transform([row])
    assert np.isfinite(expected).all()
    # Sine and cosine of the phase of the year are computed by two libraries
    assert np.allclose(encode(row), expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def mixed_encoder():
    n = 60
    table = {
        "number": np.linspace(-1e3, 1e3, n) ** 3,
        "missing": [None, 1.0, 2.5] * 20,
        "text": ["u", "v", None] * 20,
        "flag": [True, False] * 30,
        "when": ["31/12/1999", "1/6/2024 14:30", None] * 20,
    }
    encoder = TableEncoder(dense=True).fit(table)
    return encoder, encoder.row_encoder()


def test_a_row_that_lacks_columns_warns_once(mixed_encoder):
    encoder, encode = mixed_encoder
    row = {"number": 3.0, "text": "u", "flag": True, "more": 1}
    with pytest.warns(UserWarning, match="X lacks columns of fit, .*: 'missing', 'when'") as caught:
        encoded = encode(row)
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.warns(UserWarning, match="'missing', 'when'") as caught:
        assert np.array_equal(encoded, encoder.transform(row))
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.raises(ValueError, match="got none of them but 'q'"):
        encode({"q": 1})


def test_bad_rows_give_the_errors_of_tables(mixed_encoder):
    encoder, encode = mixed_encoder
    good = {"number": 3.0, "missing": 1, "text": "u", "flag": True, "when": None}
    bad = {"number": "many", "missing": np.inf, "text": ["u"], "flag": 2j, "when": 2024}
    for name, value in bad.items():
        messages = []
        for call in (encode, lambda row: encoder.transform([row])):
            with pytest.raises((ValueError, TypeError), match=f"column '{name}' of X must hold") as error:
                call(good | {name: value})
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    with pytest.raises(TypeError, match="row must be a dict, or have 5 cells, got 5"):
        encode(5)


# The target


def test_a_column_that_is_the_target_is_refused():
    table, y = sample()
    for same in (y, y + 7, np.where(y > 0, "yes", "no"), 1.0 - y, y > 0):
        with pytest.raises(
            ValueError, match="X must not hold the target, but the values of column 'same' stand"
        ):
            TableEncoder().fit(table | {"same": same}, y)
    with pytest.raises(ValueError, match="X must not hold the target, but column 'size' equals y"):
        TableEncoder().fit(table, table["size"])
    with pytest.raises(ValueError, match="column 'size' equals y"):
        TableEncoder().fit(table, table["size"].astype(np.float32))
    with pytest.raises(ValueError, match="column 'size' equals y"):
        TableEncoder(task="regression").fit(table, np.stack([y, table["size"]], axis=1))
    missing = np.where(np.arange(len(y)) == 5, np.nan, y)
    TableEncoder(task="regression").fit(table | {"missing": missing, "huge": table["size"] * 1e200}, y)
    almost = np.where(np.arange(len(y)) == 5, 1 - y, y)
    TableEncoder().fit(table | {"same": almost}, y)
    finer = 2 * y + np.random.default_rng(0).integers(0, 2, len(y))
    TableEncoder().fit(table | {"finer": finer}, y)
    tiny = {"a": [0, 1, 1, 0]}
    TableEncoder().fit(tiny, [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("y", "task", "error", "message"),
    [
        ([0, 1], "auto", ValueError, "one target for each of the 600 rows of X, got shape"),
        (np.full(600, np.nan), "regression", ValueError, r"finite numbers, got nan in row 0"),
        (["u"] * 600, "regression", TypeError, "y must hold numbers for regression"),
        (np.zeros((600, 2), int), "classification", ValueError, r"y must have shape \(600,\) for classes"),
        (np.array(["u", 1] * 300, dtype=object), "auto", TypeError, "y must hold classes of one type"),
    ],
)  # fmt: skip
def test_bad_targets_give_one_clear_error(y, task, error, message):
    table, _ = sample()
    with pytest.raises(error, match=message):
        TableEncoder(task=task).fit(table, y)


def test_a_refused_fit_changes_nothing():
    table, y = sample()
    encoder = TableEncoder().fit(table, y)
    before = dict(vars(encoder))
    with pytest.raises(ValueError, match="finite"):
        encoder.fit(table | {"size": np.full(600, np.inf)}, y)
    with pytest.raises(ValueError, match="one target"):
        encoder.fit(table, y[:5])
    assert all(vars(encoder)[name] is value for name, value in before.items())


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [("task", "reg", ValueError), ("n_bins", 0, ValueError), ("n_bins", 2.5, TypeError),
     ("dense", 1, TypeError), ("piecewise", "no", TypeError), ("kinds", ["size"], TypeError),
     ("random_state", "x", ValueError)],
)  # fmt: skip
def test_bad_parameters(parameter, value, error):
    with pytest.raises(error, match=parameter if parameter != "random_state" else "seed"):
        TableEncoder(**{parameter: value}).fit(sample()[0])


# State and scikit-learn


def test_state_is_json_and_arrays():
    table, y = sample()
    encoder = TableEncoder(random_state=3, kinds={"rooms": "category"}).fit(table, y)
    values, arrays = encoder.get_state()
    assert all(type(array) is np.ndarray and array.dtype != object for array in arrays.values())
    again = TableEncoder.from_state(json.loads(json.dumps(values)), arrays)
    assert again.get_params() == encoder.get_params()
    assert again.describe() == encoder.describe()
    assert (again.transform(table) != encoder.transform(table)).nnz == 0
    assert again.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    assert again.feature_names_in_.tolist() == list(table)
    with pytest.raises(ValueError, match="the state must be of version 1, got 2"):
        TableEncoder.from_state(values | {"version": 2}, arrays)


def test_pickle_and_clone():
    table, y = sample()
    encoder = TableEncoder(n_bins=5, random_state=0).fit(table, y)
    again = pickle.loads(pickle.dumps(encoder))
    assert (again.transform(table) != encoder.transform(table)).nnz == 0
    fresh = clone(encoder)
    assert fresh.get_params() == encoder.get_params() and not hasattr(fresh, "encoding_")
    assert (fresh.fit_transform(table, y) != clone(encoder).fit_transform(table, y)).nnz == 0


def test_names_in():
    encoder = TableEncoder().fit({"a": [1, 2], "b": ["u", "v"]})
    assert encoder.n_features_in_ == 2 and encoder.feature_names_in_.tolist() == ["a", "b"]
    assert encoder.get_feature_names_out(["a", "b"]).tolist() == ["a", "b=u", "b=v"]
    with pytest.raises(ValueError, match="input_features must be the columns of fit"):
        encoder.get_feature_names_out(["a"])
    encoder.fit([[1.0], [2.0]])
    assert encoder.n_features_in_ == 1 and not hasattr(encoder, "feature_names_in_")


def test_a_pipeline():
    table, _ = sample(2000)
    frame, y = pd.DataFrame(table), (table["rooms"] == 3) | (table["size"] > 2)
    model = make_pipeline(TableEncoder(random_state=0), LogisticRegression(max_iter=2000))
    model.fit(frame[:1500], y[:1500])
    assert model.score(frame[1500:], y[1500:]) > 0.97


def test_rows_for_the_core_are_the_encoded_rows():
    table, y = sample()
    encoder = TableEncoder(n_bins=4, random_state=0)
    rows, knots = encoder.fit_rows(table, y)
    expected = TableEncoder(n_bins=4, random_state=0).fit_transform(table, y).toarray()
    assert np.array_equal(rows[:], expected)
    assert rows.n_stored < np.count_nonzero(expected) and knots.shape[1] > rows.shape[1]
    assert np.array_equal(
        encoder.encoding_.rows(*encoder.columns_.read(table))[:], encoder.transform(table).toarray()
    )
    fine = TableEncoder(n_bins=1000).fit(
        {"a": np.arange(3000) ** 1.5}
    )  # more bins than the core's segments have
    assert np.array_equal(
        fine.encoding_.rows(*fine.columns_.read({"a": [7.0, 1e4]}))[:],
        fine.transform({"a": [7.0, 1e4]}).toarray(),
    )
