"""Checkpoint files: a training in progress, from which another process resumes it to the same bits."""

from __future__ import annotations

import os
import time
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.blocks import BlockRows
from ..data.sparse import SparseRows
from ..data.streams import Stream
from ..optimizers import LBFGS
from ..schedules import Schedule
from .problem import Problem
from .validation import StreamedValidation

if TYPE_CHECKING:
    from ..network import Network
    from .optimizer_state import OptimizerState
    from .options import FitOptions

SECONDS = 60.0  # between two checkpoints, if `every` is None
ROWS = 512  # of the data that a fingerprint looks at
OPTIONS = ("epochs", "batch_size", "clip_norm", "ema", "patience", "min_delta", "shuffle", "record")


class CheckpointFile:
    """The file of a training: it says when it is due, writes a state, and reads one that fits.

    Parameters
    ----------
    path : str or path
    every : int, float or None
        Epochs (int), or seconds (float), between two checkpoints; None: 60 seconds.
    fingerprint : dict of str
        What must be the same for a training to resume, by name.
    """

    def __init__(
        self, path: str | os.PathLike[str], every: int | float | None, fingerprint: dict[str, str]
    ) -> None:
        self.path = os.fspath(path)
        self.every = SECONDS if every is None else every
        self.fingerprint = fingerprint
        self.saved_at = time.perf_counter()
        self.saved_epoch = 0

    @property
    def n_epochs(self) -> int | None:
        """Epochs between two checkpoints; None: the clock decides."""
        return self.every if isinstance(self.every, int) else None

    def due(self, epoch: int) -> bool:
        """Return whether a checkpoint is due when so many epochs are done."""
        if self.n_epochs is not None:
            return epoch - self.saved_epoch >= self.n_epochs
        return time.perf_counter() - self.saved_at >= self.every

    def write(self, state: dict[str, Any], epoch: int) -> None:
        """Write a state; until it is complete, the checkpoint before it is there."""
        from ..files import container

        container.write(self.path, *self.describe(state))
        self.saved_at, self.saved_epoch = time.perf_counter(), epoch

    def describe(self, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return a state as a document and arrays; TypeError names what a file cannot hold."""
        from ..files.encoding import Encoder

        encoder = Encoder()
        document = {"format": 1, "kind": "checkpoint", "fingerprint": self.fingerprint}
        return {**document, "state": encoder.value(state, "state")}, encoder.arrays

    def read(self) -> dict[str, Any] | None:
        """Return the state in the file, None if there is no file.

        Raises
        ------
        ModelFormatError
            If the file is damaged, or no checkpoint.
        ValueError
            If it is of another network, other options or other data: the message says what differs.
        """
        from ..files import ModelFormatError, container
        from ..files.encoding import Decoder, members

        if not os.path.exists(self.path):
            return None
        with container.opened(self.path) as (document, arrays):
            if not isinstance(document, dict) or document.get("kind") != "checkpoint":
                raise ModelFormatError(f"{self.path} must be a checkpoint, got a file of another kind")
            version, _, saved, item = members(
                document, "the document", "format", "kind", "fingerprint", "state"
            )
            if version != 1 or not isinstance(saved, dict):
                raise ModelFormatError(f"the format must be 1, got {version!r}: upgrade dnn")
            present = self.fingerprint
            differing = [name for name in {**present, **saved} if present.get(name) != saved.get(name)]
            if differing:
                parts = (f"{name}: {saved.get(name)} there, {present.get(name)} here" for name in differing)
                raise ValueError(
                    f"checkpoint must be of the same training to resume it, and differs in {'; '.join(parts)}"
                )
            state: dict[str, Any] = Decoder(arrays).value(item, "state")
        return state


def checkpoint_of(
    net: Network, problem: Problem, optimizer: OptimizerState | LBFGS, options: FitOptions, rng: Any
) -> tuple[CheckpointFile | None, dict[str, Any] | None]:
    """Return the file that the options ask for, and the state to resume from; None where there is none."""
    if options.checkpoint is None:
        return None, None
    if isinstance(optimizer, LBFGS):
        raise ValueError("checkpoint must not be given with L-BFGS, whose state SciPy keeps to itself")
    layers = [(layer.units, str(layer.activation)) for layer in net.layers]
    fingerprint = {
        "network": f"{net.n_inputs} -> {layers}, dropout {net.dropout}, {net.dtype}, frozen {net.frozen}",
        "loss": f"{problem.loss.name} {problem.loss.par}",
        "penalties": f"alpha {problem.alpha:g}, l1 {problem.l1:g}",
        "optimizer": f"{optimizer.spec.kernel} {optimizer.hyper}, weight_decay {optimizer.weight_decay:g}",
        **{name: str(getattr(options, name)) for name in OPTIONS},
        "order": "as given" if options.order is not None else "None",
        **_digests(problem, ""),
    }
    if options.streamed is not None:
        fingerprint["source"] = _lengths(options.streamed.stream)
        fingerprint["buffer_rows"] = str(options.streamed.stream.buffer_rows)
    validated = getattr(options.validate, "__self__", None)
    if isinstance(validated, StreamedValidation):
        fingerprint["source of X_val"] = _lengths(validated.rows.stream)
        validated = validated.first
    if isinstance(validated, Problem):
        fingerprint |= _digests(validated, "_val")
    file = CheckpointFile(options.checkpoint, options.every, fingerprint)
    from ..files.encoding import Encoder

    for name, part in (("random_state", rng), ("schedule", kept_schedule(optimizer.schedule))):
        Encoder().value(part, name)  # refuses, before anything is changed, what a file cannot hold
    return file, file.read() if options.resume else None


def _lengths(stream: Stream) -> str:
    """Return the numbers of blocks and rows of a stream, and what is done with bad rows."""
    source = stream.source
    return f"{source.n_blocks} blocks, {source.n_rows} rows, {stream.on_bad_rows} bad rows"


def _digests(problem: Problem, suffix: str) -> dict[str, str]:
    """Return shape and a hash of some rows of X, of y and of the weights."""
    n = len(problem.X)
    rows = np.unique(np.linspace(0, n - 1, min(n, ROWS)).astype(np.int64))
    X: Any = problem.X
    if isinstance(X, SparseRows):
        some = X.take(rows).matrix
        parts = [some.indptr, some.indices, some.data, *([] if X.segments is None else [X.segments])]
    elif isinstance(X, BlockRows):
        parts = [X.take(rows)[:]]
    else:
        parts = [X[rows]]
    targets = [t for t in (problem.targets.Y, problem.targets.classes, problem.targets.any) if t is not None]
    y = [t.take(rows)[:] if isinstance(t, BlockRows) else np.asarray(t)[rows] for t in targets[:1]]
    weights = [] if problem.weights is None else [problem.weights[rows]]
    return {
        f"X{suffix}": f"{n} rows, {_hash(parts)}",
        f"y{suffix}": _hash(y),
        f"sample_weight{suffix}": _hash(weights) if weights else "None",
    }


def _hash(arrays: list[np.ndarray]) -> str:
    """Return a short hash of arrays, of their dtypes and shapes."""
    import hashlib  # loads OpenSSL: only for a training with a checkpoint

    found = hashlib.blake2b(digest_size=6)
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def restore_generator(rng: Any, saved: Any) -> None:
    """Bring a generator to the state of another of its kind, in place."""
    if type(rng) is not type(saved):
        raise ValueError(
            f"random_state must be of the same kind as in the checkpoint, {type(saved).__name__}, got "
            f"{type(rng).__name__}"
        )
    if isinstance(rng, np.random.RandomState):
        rng.set_state(saved.get_state(legacy=False))
    else:
        rng.bit_generator.state = saved.bit_generator.state


def kept_schedule(schedule: Schedule) -> Schedule | None:
    """Return what a checkpoint keeps of a schedule: nothing of a user's that does not watch the training."""
    from ..files.encoding import CLASSES

    return schedule if schedule.watches or type(schedule).__name__ in CLASSES else None


def restore_schedule(schedule: Any, saved: Any) -> None:
    """Bring a schedule that changes with the training to the state of another, in place."""
    if saved is None:
        return
    if is_dataclass(schedule):
        if hasattr(schedule, "then"):  # WarmUp is a value, and holds one that may change
            restore_schedule(schedule.then, saved.then)
    else:
        vars(schedule).update(vars(saved))
