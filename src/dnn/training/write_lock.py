"""The lock that lets one thread at a time change the parameters of a network."""

from __future__ import annotations

import threading


class WriteLock:
    """Lets one training at a time write the parameters of a network, and counts how often that was done."""

    def __init__(self) -> None:
        self.changes = 0
        self._lock = threading.Lock()

    def writing(self, what: str) -> WriteLock:
        """Take it for a ``with`` block, or raise RuntimeError if another holds it."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{what} must not be called on a network that is in training")
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.changes += 1
        self._lock.release()
