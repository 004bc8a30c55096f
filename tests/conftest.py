"""What several test files need."""

import os
from pathlib import Path

import pytest

from dnn import _core

# DNN_TEST_THREADS=3: every test on teams of three, however little the work. With DNN_ISA, CI thus runs all of them on each
# instruction set and on one, two and three threads.
_core.assume_threads(int(os.environ.get("DNN_TEST_THREADS", "0")))


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real data and published figures; a test that needs it is skipped where there is none."""
    beside = Path(__file__).parents[1] / "../shared/data"
    folder = Path(os.environ.get("DNN_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"needs the data folder (DNN_DATA or ../shared/data), found none at {folder}")
    return folder


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Every instruction set that this processor has."""
    before = _core.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture
def isa_drawn():
    """A function that selects one of them, drawn by a generator."""
    before = _core.isa()
    yield lambda rng: _core.select_isa(rng.choice(_core.available_isas()))
    _core.select_isa(before)
