"""Table estimators as a document and arrays, and back: an encoder of columns and several networks."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from ..training.history import History
from . import ModelFormatError
from .encoding import Decoder, Encoder, listed, members, shown, whole
from .networks import describe_network, restore_network

TARGET = {"mean": "_mean", "scale": "_scale", "low": "_low", "high": "_high"}  # of a regressor
# What a fitted table estimator knows. oof_ has a value for each row of the training data, which no prediction
# needs: it is left out.
ATTRIBUTES = {
    "encoder_", "members_", "histories_", "summary_", "validation_score_", "n_features_in_", "oof_",
    "feature_names_in_", "classes_", "temperature_", *TARGET.values(), "_residuals",
}  # fmt: skip
# The columns of the encoder, by the type of each of their values; "levels" is the number of levels here, and
# the levels themselves are in arrays, as a category may have a hundred thousand.
COLUMN: dict[str, type] = {
    "name": str, "kind": str, "missing": float, "remark": str, "levels": int, "exceptions": list,
    "parts": list, "origin": int, "low": float, "high": float,
}  # fmt: skip
NUMBERS = {"median": "float64", "factor": "float64", "indicator": "bool", "n_edges": "int64"}


def describe_table(est: Any, state: dict[str, Any], encoder: Encoder) -> dict[str, Any]:
    """Return the entries of a table estimator."""
    names = est._get_param_names()
    others = sorted(state.keys() - {*names, *ATTRIBUTES})
    if others:
        raise TypeError(
            f"{others[0]} cannot be saved: dnn knows no such attribute, got {shown(state[others[0]])}"
        )
    found: dict[str, Any] = {
        "parameters": {name: encoder.value(state[name], name) for name in names},
        "encoder": None, "members": None, "histories": None, "summary": None, "validation_score": None,
        "labels": None, "target": None,
    }  # fmt: skip
    if "members_" not in state:
        return found
    found["encoder"] = _describe_encoder(state["encoder_"], encoder)
    found["members"] = [
        describe_network(net, net.__getstate__(), encoder, place=f"members.{i}.")
        for i, net in enumerate(state["members_"])
    ]
    found["histories"] = encoder.value(state["histories_"], "histories_")
    found["summary"] = encoder.value(state.get("summary_"), "summary_")
    found["validation_score"] = encoder.value(state["validation_score_"], "validation_score_")
    if "classes_" in state:
        temperature = encoder.value(state["temperature_"], "temperature_")
        found["labels"] = {
            "classes": encoder.labels(state["classes_"], "classes_"), "temperature": temperature,
        }  # fmt: skip
    else:
        target = {name: encoder.value(state[attribute], name) for name, attribute in TARGET.items()}
        found["target"] = {**target, "residuals": encoder.array(state["_residuals"], "residuals")}
    return found


def _describe_encoder(table: Any, encoder: Encoder) -> dict[str, Any]:
    """Return the entry of the encoder of a table."""
    values, arrays = table.get_state()
    for name, array in arrays.items():
        encoder.array(array, f"encoder.{name}")
    levels = [level for column in values["columns"] for level in column["levels"]]
    texts = [b"" if level is None else level.encode("utf-8", "surrogatepass") for level in levels]
    sizes = [-1 if level is None else len(text) for level, text in zip(levels, texts, strict=True)]
    encoder.array(np.frombuffer(b"".join(texts), np.uint8), "encoder.levels")
    encoder.array(np.array(sizes, np.int32), "encoder.levels.bytes")
    columns = [{**column, "levels": len(column["levels"])} for column in values["columns"]]
    return {**values, "columns": columns}


def restore_table(document: dict[str, Any], kind: str, decoder: Decoder) -> Any:
    """Return a table estimator, of which every part fits the others."""
    names = (
        "parameters",
        "encoder",
        "members",
        "histories",
        "summary",
        "validation_score",
        "labels",
        "target",
    )
    given = members(document, "the document", "format", "kind", "dnn", *names)[3:]
    parameters, encoder, networks, histories, summary, score, labels, target = given
    cls = getattr(import_module("dnn"), kind)
    est = cls()
    if not isinstance(parameters, dict) or parameters.keys() - set(cls._get_param_names()):
        raise ModelFormatError(f"the document must have parameters of {kind}, got {parameters!r}")
    # A parameter that is younger than the file has its default
    state = {name: decoder.value(item, name) for name, item in parameters.items()}
    if encoder is None:
        if any(item is not None for item in given[2:]):
            raise ModelFormatError(f"the document of a {kind} without an encoder must have no other parts")
        vars(est).update(state)
        return est
    table = _restore_encoder(encoder, decoder)
    state |= {"encoder_": table, "n_features_in_": table.n_features_in_}
    if hasattr(table, "feature_names_in_"):
        state["feature_names_in_"] = table.feature_names_in_.copy()
    if (labels is not None, target is not None) != (kind == "TableClassifier", kind == "TableRegressor"):
        raise ModelFormatError(f"a {kind} must have either labels or a target, as it is a classifier or not")
    state |= _restore_labels(labels, decoder) if target is None else _restore_target(target, decoder)
    vars(est).update(state)
    output, n_outputs = est._output()
    nets = []
    for i, item in enumerate(listed(networks, "members")):
        net = restore_network(item, decoder, place=f"members.{i}.")
        form = (net.n_inputs, net.n_outputs, net.dtype.name, net.layers[-1].info.name)
        if form != (table.n_features_out_, n_outputs, "float32", output):
            raise ModelFormatError(
                f"member {i} must have {table.n_features_out_} inputs and {n_outputs} outputs in float32, "
                f"{output}, got {', '.join(map(str, form))}"
            )
        nets.append(net)
    past = decoder.value(histories, "histories_")
    if not nets or type(past) is not list or [type(item) for item in past] != [History] * len(nets):
        raise ModelFormatError(f"members and histories_ must be as many, and at least 1, got {len(nets)}")
    value, of_report = decoder.value(score, "validation_score_"), decoder.value(summary, "summary_")
    if type(value) is not float or not (of_report is None or type(of_report) is dict):
        raise ModelFormatError(f"validation_score_ must be a number, and summary_ a dict, got {value!r}")
    vars(est).update(members_=nets, histories_=past, validation_score_=value)
    if of_report is not None:  # what a report shows of the training
        est.summary_ = of_report
    return est


def _restore_labels(item: Any, decoder: Decoder) -> dict[str, Any]:
    """Return the classes of a classifier and its temperature."""
    classes, temperature = members(item, "labels", "classes", "temperature")
    found = decoder.labels(classes, "classes_")
    try:
        n_different = len(set(found.tolist())) if found.ndim == 1 else 0
    except TypeError:  # of items that are lists
        n_different = 0
    if n_different < 2 or n_different != len(found):
        raise ModelFormatError(f"classes_ must be at least 2 different ones, got shape {found.shape}")
    return {"classes_": found, "temperature_": _real(temperature, "temperature_", above=0.0)}


def _restore_target(item: Any, decoder: Decoder) -> dict[str, Any]:
    """Return the scale and the range of the target of a regressor, and its residuals."""
    *values, residuals = members(item, "the target", *TARGET, "residuals")
    found: dict[str, Any] = {
        attribute: _real(value, name, above=0.0 if name == "scale" else -math.inf)
        for (name, attribute), value in zip(TARGET.items(), values, strict=True)
    }
    sizes = decoder.take(residuals, "residuals", "float64")
    if sizes.ndim != 1 or not len(sizes) or not sizes[0] >= 0 or not (np.diff(sizes) >= 0).all():
        raise ModelFormatError(f"residuals must be absolute values (n,) that rise, got shape {sizes.shape}")
    return {**found, "_residuals": sizes}


def _real(value: Any, name: str, above: float = -math.inf) -> float:
    """Return a finite number, as JSON has it."""
    if type(value) is not float or not value > above:
        raise ModelFormatError(f"{name} must be a number above {above}, got {value!r}")
    return value


def _restore_encoder(item: Any, decoder: Decoder) -> Any:
    """Return the encoder of a table; all indices are in range, so that no table makes it read elsewhere."""
    from ..estimators.tables.columns import KINDS
    from ..estimators.tables.dates import PARTS
    from ..estimators.tables.encoder import STATE_VERSION, TableEncoder

    version, params, named, columns = members(item, "encoder", "version", "params", "named", "columns")
    if whole(version, "the version of the encoder", 1) > STATE_VERSION:
        raise ModelFormatError(
            f"the encoder must be of version {STATE_VERSION} at most, got {version}: upgrade dnn"
        )
    _check_params(params, KINDS)
    if type(named) is not bool:
        raise ModelFormatError(f"named must be true or false, got {named!r}")
    found = []
    for i, column in enumerate(listed(columns, "columns")):
        *values, day_first = members(column, f"column {i}", *COLUMN, "day_first")
        its = dict(zip(COLUMN, values, strict=True))
        wrong = [name for name, expected in COLUMN.items() if type(its[name]) is not expected]
        texts = [*its["exceptions"], *its["parts"]] if not wrong else []
        if wrong or any(type(text) is not str for text in texts) or type(day_first) not in (bool, type(None)):
            raise ModelFormatError(f"column {i} must have {', '.join(COLUMN)} of their types, got {wrong}")
        known = its["kind"] in KINDS and set(its["parts"]) <= set(PARTS)
        if not known or (its["levels"] > 0) != (its["kind"] in ("boolean", "category")):
            raise ModelFormatError(
                f"column {i} must have a kind of {', '.join(KINDS)}, and what belongs to it, "
                f"got {its['kind']!r}"
            )
        whole(its["levels"], f"the levels of column {i}")
        whole(its["origin"], f"the origin of column {i}", -(2**31), 2**31)
        found.append({**its, "day_first": day_first})
    if not found or len({column["name"] for column in found}) < len(found):
        raise ModelFormatError("columns must have a name each, and there must be at least one")
    arrays = _restore_numbers(found, decoder)
    for i, column in enumerate(column for column in found if column["levels"]):
        arrays |= _restore_category(i, column["levels"], decoder)
    _restore_levels(found, decoder)
    return TableEncoder.from_state({**item, "columns": found}, arrays)


def _check_params(params: Any, kinds: tuple[str, ...]) -> None:
    """Raise if these are not the parameters of an encoder."""
    names = ("task", "n_bins", "piecewise", "dense", "kinds", "random_state")
    task, n_bins, piecewise, dense, of_columns, seed = members(params, "the parameters of encoder", *names)
    if task not in ("auto", "classification", "regression") or {type(piecewise), type(dense)} != {bool}:
        raise ModelFormatError(f"the parameters of encoder must be of their types, got {params!r}")
    whole(n_bins, "n_bins of encoder", 1, 1000)
    if seed is not None:
        whole(seed, "random_state of encoder", 0, 2**64)
    if of_columns is not None and not (
        isinstance(of_columns, dict) and all(kind in kinds for kind in of_columns.values())
    ):
        raise ModelFormatError(f"kinds of encoder must be those of columns, got {of_columns!r}")


def _restore_numbers(columns: list[dict[str, Any]], decoder: Decoder) -> dict[str, np.ndarray]:
    """Return the arrays that say how numbers are encoded."""
    n = sum({"number": 1, "date": len(column["parts"])}.get(column["kind"], 0) for column in columns)
    arrays = {
        f"numbers.{name}": decoder.arrays.take(f"encoder.numbers.{name}", dtype, (n,))
        for name, dtype in NUMBERS.items()
    }
    n_edges = arrays["numbers.n_edges"]
    shape = decoder.arrays.check("encoder.numbers.edges", "float64")
    total = shape[0] if len(shape) == 1 else -1
    if ((n_edges < 0) | (n_edges == 1) | (n_edges > total)).any() or n_edges.sum() != total:
        raise ModelFormatError(f"encoder.numbers.n_edges must be those of edges {shape}, got others")
    edges = decoder.arrays.take("encoder.numbers.edges")
    scales = np.concatenate([edges, arrays["numbers.median"], arrays["numbers.factor"]])
    if not np.isfinite(scales).all():
        raise ModelFormatError("encoder.numbers must be finite")
    rising = edges[1:] > edges[:-1]
    rising[np.cumsum(n_edges[n_edges > 0])[:-1] - 1] = True  # where those of the next number begin
    if not rising.all():
        raise ModelFormatError("the edges of a number must rise")
    return {**arrays, "numbers.edges": edges}


def _restore_category(i: int, n_levels: int, decoder: Decoder) -> dict[str, np.ndarray]:
    """Return the arrays that say how a category is encoded."""
    name = f"encoder.categories.{i}"
    inputs = decoder.arrays.take(f"{name}.inputs", "int32", (n_levels + 1,))
    shape = decoder.arrays.check(f"{name}.table", "float32")
    if len(shape) != 2 or shape[0] != n_levels + 1:
        raise ModelFormatError(f"{name}.table must have {n_levels + 1} rows, got shape {shape}")
    if inputs[0] != -1 or (inputs[1:] < -1).any() or inputs.max() >= n_levels or inputs.max() < 0:
        raise ModelFormatError(f"{name}.inputs must be in -1 .. {n_levels - 1}, and -1 for unseen levels")
    return {f"categories.{i}.inputs": inputs, f"categories.{i}.table": decoder.arrays.take(f"{name}.table")}


def _restore_levels(columns: list[dict[str, Any]], decoder: Decoder) -> None:
    """Put the levels of each column in the place of their number."""
    n_levels = sum(column["levels"] for column in columns)
    sizes = decoder.arrays.take("encoder.levels.bytes", "int32", (n_levels,))
    text = decoder.arrays.take("encoder.levels", "uint8")
    ends = np.cumsum(np.maximum(sizes, 0), dtype=np.int64)
    if text.ndim != 1 or (sizes < -1).any() or (ends[-1] if n_levels else 0) != len(text):
        raise ModelFormatError(f"encoder.levels must have the bytes of {n_levels} levels, got {len(text)}")
    data, end = text.tobytes(), 0
    levels: list[str | None] = []
    for size in sizes.tolist():
        begin, end = end, end + max(size, 0)
        levels.append(None if size < 0 else data[begin:end].decode("utf-8", "surrogatepass"))
    first = 0
    for column in columns:
        column["levels"], first = levels[first : first + column["levels"]], first + column["levels"]
        if len(set(column["levels"])) < len(column["levels"]) or None in column["levels"][1:]:
            raise ModelFormatError(f"the levels of column {column['name']!r} must differ, got some twice")
