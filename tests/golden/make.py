"""Writes the golden files of the present format: ``PYTHONPATH=tests python tests/golden/make.py``.

A file of a released format is never written again: it shows that what it holds can be loaded for ever.
"""

import json
from pathlib import Path

from saved_models import MODELS, outputs

from dnn import MLPClassifier, TableClassifier
from dnn.files.models import FORMAT

NAMES = (
    "network", "network float64", "network mt19937", "classifier", "classifier strings", "classifier bool",
    "classifier multilabel", "regressor names", "regressor quantiles", "regressor huber", "regressor sgd",
    "regressor unfitted", "table classifier", "table strings", "table regressor",
)  # fmt: skip


def main():
    for name in NAMES:
        model = MODELS[name]()
        path = Path(__file__).with_name(f"{name.replace(' ', '_')}_{FORMAT}")
        if path.with_suffix(".safetensors").exists():
            print(f"{path.name} is there, and stays")
            continue
        expected = {"outputs": None if "unfitted" in name else outputs(model).tolist()}
        if isinstance(model, (MLPClassifier, TableClassifier)):
            expected["classes"] = model.classes_.tolist()
        if not name.startswith("network"):
            expected["parameters"] = {
                key: repr(value) for key, value in sorted(model.get_params(False).items())
            }
        model.save(path.with_suffix(".safetensors"))
        path.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
