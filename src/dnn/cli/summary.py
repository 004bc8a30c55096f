"""``dnn summary``: what a model file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dnn

from ..files import container
from .reading import figure


def describe(path: Path) -> dict[str, Any]:
    """Return what a model file holds; "table" is the table of the network's dimensions."""
    model: Any = dnn.load(path)
    with container.opened(str(path)) as (document, _):
        written_by = document["dnn"]
    kind = type(model).__name__
    found: dict[str, Any] = {"file": str(path), "kind": kind, "written_by": written_by}
    is_network = isinstance(model, dnn.Network)
    fitted = is_network or hasattr(model, "coefs_")
    net: Any = model if is_network else model._current_network() if fitted else None
    of_table = hasattr(model, "members_")
    found["fitted"] = fitted or of_table
    names, classes = getattr(model, "feature_names_in_", None), getattr(model, "classes_", None)
    found["features"] = None if names is None else names.tolist()
    found["classes"] = None if classes is None else classes.tolist()
    # The loss of a network is an argument of fit, which a file does not hold
    loss = None if is_network or kind.startswith("Table") else getattr(model, "loss", "log_loss")
    found["loss"] = loss if loss is None or isinstance(loss, str) else repr(loss)
    found["epochs"] = getattr(model, "n_iter_", None)
    found |= {"inputs": None, "layers": None, "parameters": None, "dtype": None, "table": None}
    if net is not None:
        layers = zip(net.layers, net.dropout, net.frozen, strict=True)
        found["inputs"] = net.n_inputs
        found["layers"] = [
            {"units": layer.units, "activation": str(layer.activation), "dropout": dropout, "frozen": frozen}
            for layer, dropout, frozen in layers
        ]
        found |= {"parameters": net.n_params, "dtype": net.dtype.name, "table": net.summary()}
    if of_table:
        columns = model.encoder_.columns_.columns
        found |= {
            "inputs": model.encoder_.n_features_out_, "members": len(model.members_),
            "parameters": sum(net.n_params for net in model.members_), "dtype": "float32",
            "metric": model._metric(), "validation_score": model.validation_score_,
            "columns": [{"name": column.name, "kind": column.kind} for column in columns],
            "table": model.encoder_.describe(),
        }  # fmt: skip
    return found


def text_of(found: dict[str, Any]) -> str:
    """Return what a file holds as lines of text."""
    lines = [("file", found["file"]), ("kind", found["kind"]), ("written by", f"dnn {found['written_by']}")]
    lines += [(name, _listed(found[name])) for name in ("features", "classes") if found[name] is not None]
    lines += [(name, str(found[name])) for name in ("loss", "epochs") if found[name] is not None]
    if "members" in found:
        size = (
            f"{found['members']}, of {found['inputs']} inputs, with {found['parameters']} parameters together"
        )
        score = (
            f"{found['metric']} {figure(found['validation_score'])}, on rows that the members had not seen"
        )
        lines += [("members", size), ("validation", score)]
    head = "\n".join(f"{name:11} {item}" for name, item in lines)
    return f"{head}\n\n{found['table'] or 'It has not been fitted.'}"


def _listed(items: list[Any], most: int = 10) -> str:
    """Return the first items and how many there are."""
    rest = f", ... ({len(items)})" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + rest
