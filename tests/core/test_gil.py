"""The core takes the GIL for signals and for custom losses only, and uses no Python objects without it."""

import ctypes
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import dnn
from dnn import _core

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "dnn"
GENERATED = ROOT / "build" / "cython" / "src" / "dnn" / "_core.c"
# The only functions that may take the GIL, and the only functions that may call them. Those of the C
# interface are called from outside.
TAKES_GIL = {"check_signals": {"poll_signals"}, "call_custom_loss": {"rows_phase"}}
TAKES_GIL |= {"check_rbm_signals": {"rbm_rows", "run_rbm_steps"}}
TAKES_GIL |= {"api_open": set(), "api_from_object": set(), "api_close": set()}


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """Return the C text that Cython generated for each function of the core: {name: text}."""
    sources = [SOURCE / "_core.pyx", *(SOURCE / "core").glob("*.pxi")]
    if not all(path.exists() for path in sources):
        pytest.skip("needs the sources of the core: an installed package has none")
    generated = GENERATED
    if not generated.exists() or generated.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        pytest.importorskip("Cython", reason="needs Cython: no generated C that is newer than the sources")
        generated = tmp_path_factory.mktemp("cython") / "_core.c"
        command = [sys.executable, "-m", "cython", "-3", "-X", "cdivision=True", str(sources[0])]
        subprocess.run([*command, "-o", str(generated)], check=True, cwd=SOURCE, capture_output=True)
    text = generated.read_text()
    found = {}
    for begin in re.finditer(r"^[^\n;{}]*__pyx_f_3dnn_5_core_(\w+)\([^;\n]*\{$", text, re.MULTILINE):
        found[begin[1]] = text[begin.end() : text.index("\n}\n", begin.end())]
    return found


def test_which_functions_take_the_gil(functions):
    assert {name for name, text in functions.items() if "GILState_Ensure" in text} == set(TAKES_GIL)
    for name, callers in TAKES_GIL.items():
        call = f"__pyx_f_3dnn_5_core_{name}("
        assert {caller for caller, text in functions.items() if call in text} == callers


def test_no_python_calls_without_the_gil(functions):
    """No function that is declared nogil uses references, exceptions or objects, at its exits included."""
    sources = "".join(path.read_text() for path in [SOURCE / "_core.pyx", *(SOURCE / "core").glob("*.pxi")])
    declared = re.findall(r"^( *)cdef [^\n(]*?(\w+)\([^)]*\) noexcept nogil:$", sources, re.MULTILINE)
    assert len(declared) > 50
    assert {"poll_signals", "run_steps", "run_steps_adaptive"} <= {name for _, name in declared}
    api = r"PyGILState_|RefNannySetup|_(?:IN|DE|XDE)CREF|AddTraceback|WriteUnraisable|PyErr_|PyObject_"
    for method, name in declared:
        in_c = rf"\d+[A-Z]\w*?_{name}" if method else name
        texts = [text for found, text in functions.items() if re.fullmatch(in_c, found)]
        assert texts, f"{name} is not in the generated C"
        for text in texts:
            assert not re.search(api, text), (name, re.search(api, text))


def test_members_have_no_thread_state():
    """Python numbers its thread states, so that two threads around a call show that it creates none."""
    net = dnn.Network([20, 30, 2], output="softmax", random_state=0)
    X = np.random.default_rng(0).standard_normal((300, 20))
    _core.assume_threads(3)
    try:
        before = state_of_new_thread()
        net.fit(X, np.arange(300) % 2, epochs=2, n_threads=3)
        out, cache = net.forward(X)
        net.backward(cache, out)
        net.loss_and_gradient(X, np.arange(300) % 2)
        assert state_of_new_thread() == before + 1
    finally:
        _core.assume_threads(int(os.environ.get("DNN_TEST_THREADS", "0")))


def state_of_new_thread():
    """Return the number of the state of a thread that is started now."""
    api, found = ctypes.pythonapi, []
    api.PyThreadState_Get.restype = ctypes.c_void_p
    api.PyThreadState_GetID.argtypes, api.PyThreadState_GetID.restype = [ctypes.c_void_p], ctypes.c_uint64
    thread = threading.Thread(target=lambda: found.append(api.PyThreadState_GetID(api.PyThreadState_Get())))
    thread.start()
    thread.join()
    return found[0]
