"""What the tests of the programs share."""

import pytest

from dnn.demos import one_thread


@pytest.fixture(autouse=True)
def one_thread_each():
    """Programs run on one thread, because workers with several BLAS threads each wait for each other."""
    with one_thread():
        yield
