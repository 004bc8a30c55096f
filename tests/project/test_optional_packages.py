"""Errors for missing optional packages tell how to install them; output to a closed pipe is no error."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long  # each is a process of its own, and the same on every Python

WITHOUT = """
import sys
for package in {missing!r}:
    sys.modules[package] = None  # importing it raises ModuleNotFoundError, as if it were not installed
import numpy as np, dnn
from pathlib import Path
net = dnn.Network([2, 3, 1], random_state=0)
X, y = np.ones((4, 2)), np.ones(4)
def history(): return dnn.History("x", loss=[1.0, 0.5])
def curve(): return dnn.RateCurve(np.ones(3), np.ones(3), 0.1)
try:
    {call}
except ImportError as error:
    print(type(error).__name__, "|", error)
else:
    print("nothing was missing")
"""

PLOT = "pip install 'dnn-core[plot]'"
NEEDS = {
    "history().plot()": ("matplotlib", f"a plot needs matplotlib: {PLOT}"),
    "curve().plot()": ("matplotlib", f"a plot needs matplotlib: {PLOT}"),
    "net.draw().on(None)": ("matplotlib", f"a drawing on axes needs matplotlib: {PLOT}"),
    "from dnn import plotting; plotting.learning_curve(history())": (
        "matplotlib",
        f"a plot needs matplotlib: {PLOT}",
    ),
    "from dnn import demos; demos.run('linear', Path(), [])": (
        "matplotlib",
        f"dnn demo linear needs matplotlib: {PLOT}",
    ),
    "from dnn.demos import digits; digits.run(Path())": (
        "matplotlib",
        f"dnn demo digits needs matplotlib: {PLOT}",
    ),
    "from dnn import demos; demos.sheet(1)": ("matplotlib", f"a demonstration needs matplotlib: {PLOT}"),
    "from dnn import demos; demos.run('scale', Path(), [])": (
        "sklearn",
        "dnn demo scale needs sklearn: pip install 'dnn-core[sklearn]'",
    ),
    "dnn.TableRegressor(n_members=1, epochs=1).fit([[1], [2], [3]] * 9, [1, 2, 3] * 9).report('r.html')": (
        "matplotlib",
        f"a report needs matplotlib: {PLOT}",
    ),
    "net.fit(X, y, progress=True)": ("tqdm", "progress=True needs tqdm: pip install 'dnn-core[all]'"),
    "dnn.MLPRegressor(progress=True).fit(X, y)": (
        "tqdm",
        "progress=True needs tqdm: pip install 'dnn-core[all]'",
    ),
    "dnn.sources.parquet('x.parquet', 'y')": (
        "pyarrow",
        "a source of Parquet files needs pyarrow: pip install 'dnn-core[stream]'",
    ),
    "dnn.sources.csv('x.csv', 'y')": (
        "pyarrow",
        "a source of CSV files needs pyarrow: pip install 'dnn-core[stream]'",
    ),
    "net.to_onnx()": ("onnx", "to_onnx needs onnx: pip install 'dnn-core[onnx]'"),
    "dnn.from_onnx('net.onnx')": ("onnx", "from_onnx needs onnx: pip install 'dnn-core[onnx]'"),
    "from dnn.interop.onnx import register; register()": (
        "skl2onnx",
        "register needs skl2onnx: pip install 'dnn-core[skl2onnx]'",
    ),
    "dnn.MLPClassifier": ("sklearn", "MLPClassifier needs scikit-learn: pip install 'dnn-core[sklearn]'"),
    "from dnn.distributed.joblib import Workers; Workers(2)": (
        "joblib",
        "Workers needs joblib: pip install 'dnn-core[joblib]'",
    ),
    "from dnn.distributed.ray import Workers; Workers()": (
        "ray",
        "Workers needs ray: pip install 'dnn-core[ray]'",
    ),
    "net.to_torch()": ("torch", "to_torch needs torch: pip install 'dnn-core[torch]'"),
    "dnn.from_sklearn": ("sklearn", "from_sklearn needs scikit-learn: pip install 'dnn-core[sklearn]'"),
    "from dnn import MLPRegressor": (
        "sklearn",
        "MLPRegressor needs scikit-learn: pip install 'dnn-core[sklearn]'",
    ),
}


@pytest.mark.parametrize("call", NEEDS)
def test_missing_packages_are_named(call):
    missing, wanted = NEEDS[call]
    if missing != "sklearn":
        pytest.importorskip("sklearn")
    code = WITHOUT.format(missing=[missing], call=call)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"ImportError | {wanted}"


@pytest.mark.parametrize("call", ["net.summary()", "net.draw().svg()", "net.fit(X, y); history().to_dict()"])
def test_calls_without_optional_packages(call):
    """These calls need NumPy and SciPy only, and never import pandas or polars."""
    missing = ["matplotlib", "sklearn", "tqdm", "pandas", "polars"]
    code = WITHOUT.format(missing=missing, call=call)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "nothing was missing"


def test_estimators_without_pandas_and_polars():
    code = WITHOUT.format(
        missing=["pandas", "polars", "matplotlib", "tqdm"],
        call="dnn.MLPRegressor(max_iter=1, tol=9.0, solver='lbfgs').fit(X, y).predict(X)",
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "nothing was missing"


ARGUMENTS = ["--help", "--version", "", "demo --help", "demo computation-graph", "demo nothing"]


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise on Windows")
@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("both", [False, True])
def test_output_to_a_closed_pipe(arguments, both, tmp_path):
    """``dnn demo NAME | head`` gives no traceback, and the exit code of a shell for a closed pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    environment.pop("PYTHONUNBUFFERED", None)  # argparse itself ignores output that it cannot write
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "dnn", *arguments.split()], cwd=tmp_path, env=environment,
            stdout=writer, stderr=writer if both else subprocess.PIPE, timeout=300,
        )  # fmt: skip
    finally:
        os.close(writer)
    if "nothing" in arguments:  # a usage error, which is written to stderr
        assert ran.returncode in (2, 141) and b"Traceback" not in (ran.stderr or b"")
        return
    assert ran.returncode == 141
    assert not ran.stderr


def test_exit_code_of_complete_output(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "dnn", "--version"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0 and ran.stdout.startswith("dnn ") and not ran.stderr


def test_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import dnn\n"
        "from dnn import *\n"
        "assert 'MLPClassifier' in dir(dnn)\n"
        "try: dnn.MLPClassifier\n"
        "except ImportError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "MLPClassifier needs scikit-learn: pip install 'dnn-core[sklearn]'"
