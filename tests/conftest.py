"""Fixtures that several test files use."""

import os
import signal
from pathlib import Path

import pytest

from dnn import _core

# With DNN_TEST_THREADS=3 every test uses teams of three threads, however little work there is. CI combines it
# with DNN_ISA, so that all tests run on each instruction set and on one, two and three threads.
_core.assume_threads(int(os.environ.get("DNN_TEST_THREADS", "0")))


@pytest.fixture(scope="session")
def data_folder():
    """Return the folder of real data and published figures; without it, tests that need it are skipped."""
    beside = Path(__file__).parents[1] / "../shared/data"
    folder = Path(os.environ.get("DNN_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"needs the data folder (DNN_DATA or ../shared/data), found none at {folder}")
    return folder


@pytest.fixture
def ctrl_c():
    """Let SIGINT raise KeyboardInterrupt, which a background job of a shell would ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Run the test on every instruction set that this processor has."""
    before = _core.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture
def isa_drawn():
    """Return a function that selects an instruction set, drawn by a generator."""
    before = _core.isa()
    yield lambda rng: _core.select_isa(rng.choice(_core.available_isas()))
    _core.select_isa(before)
