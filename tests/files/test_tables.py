"""Table estimators in model files: what comes back, what is refused, and copies by pickle and clone."""

import copy
import pickle
import re

import numpy as np
import pytest
from file_edits import array_entry, put, refusal, removed, replaced
from saved_models import CLASS, NAMES, NUMBER, TABLE, TABLES, facts, fitted, outputs
from sklearn.base import clone

import dnn
from dnn import TableClassifier, TableEncoder, TableRegressor

FITTED = [name for name in TABLES if "unfitted" not in name]
QUICK = {"n_members": 1, "hidden_layer_sizes": 2, "epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The bytes of a file of each table estimator."""
    path = tmp_path_factory.mktemp("files") / "model"
    found = {}
    for name, make in TABLES.items():
        make().save(path)
        found[name] = path.read_bytes()
    return found


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model")
    return dnn.load(tmp_path / "model")


def test_other_methods_give_the_same(tmp_path):
    reg = TABLES["table regressor"]()
    again = saved_and_loaded(reg, tmp_path)
    assert again.predict_interval(TABLE, 0.8).tobytes() == reg.predict_interval(TABLE, 0.8).tobytes()
    assert again.encoder_.describe() == reg.encoder_.describe()
    row = {"size": 0.5, "längd": "level 1", "kind": "a", "on": True, "born": "2011-05-05", "same": "kg"}
    assert again.encoder_.row_encoder()(row).tobytes() == reg.encoder_.row_encoder()(row).tobytes()
    assert hasattr(reg, "oof_") and not hasattr(again, "oof_")  # one value for each row of the training data
    assert fitted(again, TABLE).predict(TABLE).tobytes() == reg.predict(TABLE).tobytes()


@pytest.mark.parametrize(
    "labels",
    [np.array([2.0, -1.0, 0.0], np.float32), np.array([True, False, True]), np.array(["a", "bb\x00c", "ö"])],
    ids=["float32", "bool", "str"],
)
def test_classes_keep_their_type(labels, tmp_path):
    clf = fitted(TableClassifier(**QUICK), TABLE, labels[CLASS])
    again = saved_and_loaded(clf, tmp_path)
    assert facts(again.classes_) == facts(clf.classes_) and again.predict(TABLE).dtype == labels.dtype


def test_an_array_without_names(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2))
    reg = fitted(TableRegressor(**QUICK), X)
    again = saved_and_loaded(reg, tmp_path)
    assert again.predict(X).tobytes() == reg.predict(X).tobytes() and not hasattr(again, "feature_names_in_")


def test_many_levels(tmp_path):
    """They are arrays, because a header has at most 131,072 structural characters."""
    clf = TABLES["table classifier"]()
    values, arrays = clf.encoder_.get_state()
    levels = [f"level {i}" for i in range(140_000)]
    values["columns"][1]["levels"] = levels
    for name in ("inputs", "table"):
        rows = arrays[f"categories.0.{name}"]
        arrays[f"categories.0.{name}"] = np.concatenate([rows, np.repeat(rows[-1:], 140_000 - 13, axis=0)])
    clf.encoder_ = TableEncoder.from_state(values, arrays)
    again = saved_and_loaded(clf, tmp_path)
    assert again.encoder_.columns_.columns[1].levels == levels
    assert outputs(again).tobytes() == outputs(clf).tobytes()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_have_everything(how, name):
    est = TABLES[name]()
    again = pickle.loads(pickle.dumps(est)) if how == "pickle" else copy.deepcopy(est)
    assert facts(again.__getstate__()) == facts(est.__getstate__())
    if "unfitted" not in name:
        assert outputs(again).tobytes() == outputs(est).tobytes()


@pytest.mark.parametrize("name", FITTED)
def test_a_clone_fits_to_the_same(name):
    est = TABLES[name]()
    unfitted = clone(est)
    assert not hasattr(unfitted, "members_") and facts(unfitted.get_params()) == facts(est.get_params())
    y = {"table classifier": CLASS, "table strings": NAMES.astype(object)[CLASS % 2]}.get(name, NUMBER)
    assert outputs(fitted(unfitted, TABLE, y)).tobytes() == outputs(est).tobytes()


def test_what_cannot_be_saved(tmp_path):
    clf = TABLES["table classifier"]()
    clf.mine_ = 1
    with pytest.raises(TypeError, match="mine_ cannot be saved: dnn knows no such attribute, got 1"):
        clf.save(tmp_path / "model")
    with pytest.raises(TypeError, match="class_weight cannot be saved"):
        TableClassifier(class_weight=print).save(tmp_path / "model")
    assert not any(tmp_path.iterdir())


CLASSIFIER, REGRESSOR = "table classifier", "table regressor"
COLUMN = ("encoder", "columns", 0)
EDITS = {
    "no encoder": (CLASSIFIER, put("encoder", None), "without an encoder must have no other parts"),
    "another entry": (CLASSIFIER, put("x", 1), "the document must be an object with format, kind"),
    "another kind": (CLASSIFIER, put("kind", "TableRegressor"), "must have parameters of TableRegressor"),
    "no labels": (CLASSIFIER, put("labels", None), "must have either labels or a target"),
    "a parameter": (CLASSIFIER, put("parameters", "x", 1), "must have parameters of TableClassifier"),
    "a later encoder": (CLASSIFIER, put("encoder", "version", 2), "version 1 at most, got 2: upgrade dnn"),
    "an unknown task": (CLASSIFIER, put("encoder", "params", "task", "x"), "parameters of encoder must be"),
    "no bins": (CLASSIFIER, put("encoder", "params", "n_bins", 0), "n_bins of encoder must be a whole"),
    "a seed": (CLASSIFIER, put("encoder", "params", "random_state", -1), "random_state of encoder must be"),
    "kinds": (CLASSIFIER, put("encoder", "params", "kinds", {"size": "x"}), "kinds of encoder must be"),
    "named": (CLASSIFIER, put("encoder", "named", 1), "named must be true or false"),
    "no columns": (CLASSIFIER, put("encoder", "columns", []), "there must be at least one"),
    "a name twice": (CLASSIFIER, put(*COLUMN, "name", "kind"), "columns must have a name each"),
    "a number as name": (CLASSIFIER, put(*COLUMN, "name", 1), r"column 0 must have .* got \['name'\]"),
    "an unknown kind": (CLASSIFIER, put(*COLUMN, "kind", "text"), "column 0 must have a kind of number"),
    "a number with levels": (CLASSIFIER, put(*COLUMN, "levels", 2), "column 0 must have a kind of"),
    "levels that are true": (CLASSIFIER, put(*COLUMN, "levels", True), r"got \['levels'\]"),
    "an unknown part": (CLASSIFIER, put("encoder", "columns", 4, "parts", 0, "x"), "column 4 must have a"),
    "fewer parts": (
        CLASSIFIER,
        removed("encoder", "columns", 4, "parts", 0),
        "numbers.median' must have shape",
    ),
    "a list as exception": (CLASSIFIER, put(*COLUMN, "exceptions", [[]]), "column 0 must have"),
    "a huge origin": (CLASSIFIER, put(*COLUMN, "origin", 2**60), "the origin of column 0 must be"),
    "huge levels": (CLASSIFIER, put("encoder", "columns", 1, "levels", 2**60), "inputs' must have shape"),
    "fewer levels": (CLASSIFIER, put("encoder", "columns", 1, "levels", 12), "inputs' must have shape"),
    "no members": (CLASSIFIER, put("members", []), "members and histories_ must be as many, and at least 1"),
    "a member less": (CLASSIFIER, removed("members", 1), "members and histories_ must be as many"),
    "no histories": (CLASSIFIER, put("histories", None), "members and histories_ must be as many"),
    "other inputs": (CLASSIFIER, put("members", 1, "n_inputs", 9999), "members.1.layers.0.W' must have"),
    "another output": (
        CLASSIFIER,
        put("members", 1, "layers", 1, "activation", "softplus"),
        r"must give the outputs that are stored|member 1 must have \d+ inputs and 3 outputs",
    ),
    "no summary": (CLASSIFIER, put("summary", []), "validation_score_ must be a number, and summary_ a dict"),
    "no score": (CLASSIFIER, put("validation_score", None), "validation_score_ must be a number"),
    "no temperature": (
        CLASSIFIER,
        put("labels", "temperature", 0.0),
        "temperature_ must be a number",
    ),
    "no scale": (REGRESSOR, put("target", "scale", -1.0), "scale must be a number above 0"),
    "no mean": (REGRESSOR, put("target", "mean", "x"), "mean must be a number"),
    "other classes": (
        CLASSIFIER,
        put("labels", "classes", {"dtype": "object", "shape": [4], "items": ["a", "b", "c", "d"]}),
        r"member 0 must have \d+ inputs and 4 outputs",
    ),
    "classes twice": (
        CLASSIFIER,
        put("labels", "classes", {"dtype": "object", "shape": [2], "items": ["a", "a"]}),
        "classes_ must be at least 2 different ones",
    ),
    "residuals": (REGRESSOR, array_entry("residuals", shape=[1, 10]), "residuals must be absolute values"),
}


@pytest.mark.parametrize("name", EDITS)
def test_one_error_says_what_is_wrong(name, files, tmp_path):
    model, edit, expected = EDITS[name]
    (tmp_path / "model").write_bytes(edit(files[model]))
    assert re.search(expected, refusal(tmp_path / "model"))


ARRAYS = {
    "indices beyond the inputs": ("encoder.categories.0.inputs", lambda a: a + 1, "must be in -1 .. 12, and"),
    "a large index": (
        "encoder.categories.0.inputs",
        lambda a: np.where(a == a.max(), 99, a),
        "must be in -1 .. 12, and",
    ),
    "negative indices": ("encoder.categories.0.inputs", lambda a: a - 2, "must be in -1 .. 12, and"),
    "edges that fall": ("encoder.numbers.edges", lambda a: a[::-1], "the edges of a number must rise"),
    "edges that are not finite": (
        "encoder.numbers.edges",
        lambda a: np.full_like(a, np.inf),
        "must be finite",
    ),
    "a median": ("encoder.numbers.median", lambda a: a * np.nan, "encoder.numbers must be finite"),
    "negative edges": ("encoder.numbers.n_edges", lambda a: -a, "n_edges must be those of edges"),
    "more edges": ("encoder.numbers.n_edges", lambda a: a + 1, "n_edges must be those of edges"),
    "longer levels": ("encoder.levels.bytes", lambda a: a + 1, "encoder.levels must have the bytes of 19"),
    "missing levels": ("encoder.levels.bytes", lambda a: a * 0 - 2, "encoder.levels must have the bytes of"),
    "equal levels": ("encoder.levels", lambda a: a * 0 + 65, "the levels of column 'längd' must differ"),
    "no UTF-8": ("encoder.levels", lambda a: a | 128, "cannot be made: 'utf-8' codec can't decode"),
    "a member": ("members.1.layers.1.W", lambda a: -a, "must give the outputs that are stored with it"),
    "the first member": ("members.0.layers.0.b", lambda a: a + 1, "must give the outputs that are stored"),
}


def array_of(data, name):
    from fuzz_files import split

    from dnn.files.container import DTYPES

    header, rest = split(data)
    entry = header[name]
    return np.frombuffer(rest[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]).reshape(entry["shape"])


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit(name, files, tmp_path):
    array, change, expected = ARRAYS[name]
    data = files[CLASSIFIER]
    before = array_of(data, array)
    (tmp_path / "model").write_bytes(replaced(data, array, change(before).astype(before.dtype)))
    assert expected in refusal(tmp_path / "model")
