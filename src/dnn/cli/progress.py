"""The progress bar of commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec


@contextmanager
def bar(size: int, unit: str, progress: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how much of the size is done, if a terminal and tqdm are there."""
    if not progress or not sys.stderr.isatty() or find_spec("tqdm") is None:
        yield lambda done: None
        return
    from tqdm import tqdm

    with tqdm(total=size, unit=unit, unit_scale=True) as shown:

        def advance(done: int) -> None:
            shown.update(done - shown.n)

        yield advance
