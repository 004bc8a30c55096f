"""Files of every released version of the format load, and predict what they did."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from saved_models import CLASS, NUMBER, TABLE, X, outputs

import dnn
from dnn import MLPClassifier, Network, TableClassifier
from dnn.files.models import FORMAT, KINDS

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))


def test_every_kind_has_a_file_of_each_version():
    kinds = {(type(dnn.load(GOLDEN / f"{name}.safetensors")).__name__, int(name[-1])) for name in FILES}
    assert kinds == {(kind, version) for kind in KINDS for version in range(1, FORMAT + 1)}
    assert sum((GOLDEN / f"{name}.safetensors").stat().st_size for name in FILES) < 100_000


@pytest.mark.parametrize("name", FILES)
def test_golden_files(name):
    """To rounding, as another processor may have written them; what they hold can be trained on."""
    model = dnn.load(GOLDEN / f"{name}.safetensors")
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    if expected["outputs"] is not None:
        found = outputs(model)
        single = found.dtype == np.float32 or hasattr(model, "members_")
        tolerance = 1e-5 if single else 1e-12
        np.testing.assert_allclose(found, expected["outputs"], rtol=tolerance, atol=tolerance)
    if isinstance(model, Network):
        model.fit(X, CLASS, epochs=1)
        return
    shown = {
        key: repr(value) for key, value in model.get_params(False).items() if key in expected["parameters"]
    }
    assert shown == expected["parameters"]
    y = NUMBER
    if isinstance(model, (MLPClassifier, TableClassifier)):
        assert model.classes_.tolist() == expected["classes"]
        y = (X > 0).astype(int) if "multilabel" in name else model.classes_[CLASS % len(model.classes_)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model, "partial_fit"):
            model.partial_fit(X, y)
        else:
            model.fit(TABLE, y)
