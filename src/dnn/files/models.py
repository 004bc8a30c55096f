"""Networks and estimators as a document and arrays, and back."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ..training.history import History
from . import ModelFormatError
from .container import Arrays
from .encoding import Decoder, Encoder, members, shown, whole
from .networks import TOLERANCE, describe_network, restore_network
from .tables import describe_table, restore_table

FORMAT = 1
ESTIMATORS = ("MLPClassifier", "MLPRegressor")
TABLES = ("TableClassifier", "TableRegressor")
KINDS = ("Network", *ESTIMATORS, *TABLES)

# What a fitted estimator knows apart from its parameters, its network, labels and optimizer.
_COUNTS = ("n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "t_", "_no_improvement_count")
_REALS = ("loss_", "best_loss_", "best_validation_score_")
_CURVES = ("loss_curve_", "validation_scores_")
ATTRIBUTES = (*_COUNTS, *_REALS, *_CURVES, "out_activation_", "history_")
_OTHERS = {
    "_net",
    "_labels",
    "_optimizer",
    "_dnn_version",
    "_sklearn_version",
    "classes_",
    "feature_names_in_",
}


@cache
def version_here() -> str:
    """Return the version of dnn; "unknown" where a program was bundled without the metadata of packages."""
    try:
        found: str = import_module("dnn").__version__
    except ModuleNotFoundError:
        return "unknown"
    return found


def describe(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a network or an estimator as a document and arrays.

    Raises
    ------
    TypeError
        For what a file cannot hold, by its name.

    Examples
    --------
    >>> from dnn import Network
    >>> document, arrays = describe(Network([2, 1], random_state=0))
    >>> document["kind"], sorted(arrays)[:2]
    ('Network', ['layers.0.W', 'layers.0.b'])
    """
    kind = type(model).__name__
    if kind not in KINDS or type(model) is not getattr(import_module("dnn"), kind):
        raise TypeError(
            f"save must be called on a {', '.join(KINDS)}, got {type(model).__module__}.{kind}: pickle it"
        )
    encoder = Encoder()
    document: dict[str, Any] = {"format": FORMAT, "kind": kind, "dnn": version_here()}
    state = model.__getstate__()
    if kind == "Network":
        document["network"] = describe_network(model, state, encoder)
    elif kind in TABLES:
        document |= describe_table(model, state, encoder)
    else:
        document |= _describe_estimator(model, state, encoder)
    return document, encoder.arrays


def restore(document: Any, arrays: Arrays) -> Any:
    """Return the network or the estimator of a document and arrays, checked."""
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise ModelFormatError("the entry 'dnn' must be an object with the format's version")
    version, kind = document["format"], document.get("kind")
    by = f"it was written by dnn {document.get('dnn')}, and this is {version_here()}: upgrade dnn"
    if version > FORMAT:
        raise ModelFormatError(f"the format must be at most {FORMAT}, got {version} ({by})")
    if version < 1:
        raise ModelFormatError(f"the format must be at least 1, got {version}")
    if kind not in KINDS:
        raise ModelFormatError(f"the kind must be one of {', '.join(KINDS)}, got {kind!r} ({by})")
    decoder = Decoder(arrays)
    model: Any
    try:
        if kind == "Network":
            item = members(document, "the document", "format", "kind", "dnn", "network")[3]
            model = restore_network(item, decoder)
        elif kind in TABLES:
            model = restore_table(document, kind, decoder)
        else:
            model = _restore_estimator(document, kind, decoder)
    except ModelFormatError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # of what is made of the values
        raise ModelFormatError(f"the {kind} cannot be made: {error}") from None
    arrays.end()
    return model


def _describe_estimator(est: Any, state: dict[str, Any], encoder: Encoder) -> dict[str, Any]:
    """Return the entries of an estimator."""
    names = est._get_param_names()
    others = sorted(state.keys() - {*names, *ATTRIBUTES, *_OTHERS})
    if others:
        raise TypeError(
            f"{others[0]} cannot be saved: dnn knows no such attribute, got {shown(state[others[0]])}"
        )
    found: dict[str, Any] = {
        "parameters": {name: encoder.value(state[name], name) for name in names},
        "attributes": {name: encoder.value(state[name], name) for name in ATTRIBUTES if name in state},
        "feature_names": None, "labels": None, "optimizer": None, "network": None,
    }  # fmt: skip
    if "feature_names_in_" in state:
        found["feature_names"] = encoder.labels(state["feature_names_in_"], "feature_names_in_")
    labels = state.get("_labels")
    if labels is not None:
        known: Any = getattr(est, "classes_", None)
        if known is not labels.classes and not np.array_equal(known, labels.classes):
            raise TypeError("classes_ cannot be saved: they must be those that fit has seen, got others")
        found["labels"] = {"kind": labels.kind, "classes": encoder.labels(labels.classes, "classes_")}
    if "_optimizer" in state:
        found["optimizer"] = _describe_optimizer(state["_optimizer"], encoder)
    if "_net" in state:
        net = state["_net"]
        found["network"] = describe_network(net, net.__getstate__(), encoder, state["random_state"])
    return found


def _describe_optimizer(optimizer: Any, encoder: Encoder) -> dict[str, Any]:
    """Return the entry of the optimizer of an estimator and its state."""
    state = optimizer.portable()
    found = {
        "spec": encoder.value(optimizer.spec, "the optimizer"),
        "weight_decay": encoder.value(optimizer.weight_decay, "weight_decay"), "state": None,
    }  # fmt: skip
    if state:
        # scikit-learn's rate learns, and is one object in both places
        own = state["schedule"] is not optimizer.spec.rate
        found["state"] = {
            "slots": encoder.array(state["slots"], "optimizer.slots"),
            "n_steps": int(state["n_steps"]), "seed": None if state["seed"] is None else int(state["seed"]),
            "schedule": encoder.value(state["schedule"], "the schedule") if own else None,
        }  # fmt: skip
    return found


def _restore_estimator(document: dict[str, Any], kind: str, decoder: Decoder) -> Any:
    """Return an estimator."""
    of_estimator = ("parameters", "attributes", "feature_names", "labels", "optimizer", "network")
    given = members(document, "the document", "format", "kind", "dnn", *of_estimator)[3:]
    parameters, attributes, feature_names, labels, optimizer, network = given
    cls = getattr(import_module("dnn"), kind)
    est = cls()
    state = vars(est).copy()
    for part, known in ((parameters, _parameters_of(cls)), (attributes, ATTRIBUTES)):
        if not isinstance(part, dict) or part.keys() - set(known):
            raise ModelFormatError(
                f"the document must have parameters and attributes of {kind}, got {part!r}"
            )
        # A parameter that is younger than the file has its default
        state |= {name: decoder.value(item, name) for name, item in part.items()}
    for name in attributes:
        _check_attribute(name, state[name])
    if labels is not None and kind == "MLPClassifier":
        state["_labels"] = _restore_labels(labels, decoder)
        state["classes_"] = state["_labels"].classes
    elif labels is not None:
        raise ModelFormatError("labels must belong to a classifier")
    if network is not None:
        state["_net"] = net = restore_network(network, decoder, state["random_state"])
        if state.get("n_features_in_", net.n_inputs) != net.n_inputs:
            raise ModelFormatError(f"n_features_in_ must be {net.n_inputs}, got {state['n_features_in_']}")
        if kind == "MLPClassifier" and (labels is None or state["_labels"].n_outputs != net.n_outputs):
            raise ModelFormatError(f"the labels must be those of a network of {net.n_outputs} outputs")
    if feature_names is not None:
        n_features = whole(state.get("n_features_in_"), "n_features_in_", 1)
        state["feature_names_in_"] = decoder.labels(feature_names, "feature_names_in_", (n_features,))
    if optimizer is not None:
        state["_optimizer"] = _restore_optimizer(optimizer, decoder)
    state["_dnn_version"] = version_here()  # the format is not that of pickle, and does not depend on it
    est.__setstate__(state)
    return est


@cache
def _parameters_of(cls: Any) -> frozenset[str]:
    """Return the names of the parameters of an estimator, which scikit-learn reads from its signature."""
    return frozenset(cls._get_param_names())


def _check_attribute(name: str, value: Any) -> None:
    """Raise if a fitted attribute is not of its type."""
    if name in _COUNTS:
        fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < 2**63
    elif name in _REALS:
        fits = isinstance(value, (int, float, np.floating)) or (value is None and name != "loss_")
    elif name in _CURVES:
        reals = type(value) is list and all(isinstance(item, (int, float, np.floating)) for item in value)
        fits = reals or (value is None and name == "validation_scores_")
    else:
        fits = isinstance(value, History if name == "history_" else str)
    if not fits:
        raise ModelFormatError(f"{name} must be what fit sets, got {value!r}")


def _restore_labels(item: Any, decoder: Decoder) -> Any:
    """Return the labels of a classifier."""
    from ..estimators.labels import Labels

    kind, classes = members(item, "labels", "kind", "classes")
    if kind not in ("binary", "multiclass", "multilabel-indicator"):
        raise ModelFormatError(f"labels must be binary, multiclass or multilabel-indicator, got {kind!r}")
    found = decoder.labels(classes, "classes_")
    if found.ndim != 1 or not 1 <= len(found) or (kind == "binary" and len(found) > 2):
        raise ModelFormatError(f"classes_ must be those of {kind} labels, got shape {found.shape}")
    labels = object.__new__(Labels)
    labels.kind, labels.classes = kind, found
    labels.n_outputs = 1 if kind == "binary" else len(found)
    return labels


def _restore_optimizer(item: Any, decoder: Decoder) -> Any:
    """Return the optimizer of an estimator and its state."""
    from ..estimators.optimizer import PortableOptimizer
    from ..optimizers import Optimizer
    from ..schedules import Schedule

    spec, weight_decay, state = members(item, "the optimizer", "spec", "weight_decay", "state")
    spec, weight_decay = decoder.value(spec, "the optimizer"), decoder.value(weight_decay, "weight_decay")
    if not isinstance(spec, Optimizer) or not (
        weight_decay is None or isinstance(weight_decay, (int, float))
    ):
        raise ModelFormatError(f"the optimizer must be one that takes steps, got {spec!r}")
    optimizer = PortableOptimizer(spec, weight_decay)
    if state is not None:
        slots, n_steps, seed, schedule = members(
            state, "the optimizer's state", "slots", "n_steps", "seed", "schedule"
        )
        schedule = spec.rate if schedule is None else decoder.value(schedule, "the schedule")
        slots = decoder.take(slots, "the optimizer's slots")
        if not isinstance(schedule, Schedule) or slots.ndim != 2 or slots.dtype.name not in TOLERANCE:
            raise ModelFormatError(
                f"the optimizer's state must have slots (n, P) and a schedule, got {schedule!r}"
            )
        optimizer.kept = {
            "slots": slots, "n_steps": whole(n_steps, "n_steps"),
            "seed": None if seed is None else whole(seed, "seed", 0, 2**64 - 1), "schedule": schedule,
        }  # fmt: skip
    return optimizer
