from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

class ActivationInfo:  # named tuples, whose field hides tuple.index
    index: int
    name: str
    row_wise: bool
    slope_from_z: bool
    init: str
    output: bool
    n_par: int
    par0: float

class LossInfo:  # named tuples, whose field hides tuple.index
    index: int
    id: str
    name: str
    output: str
    classes: bool
    n_par: int
    low: float
    high: float

class OptimizerInfo:  # named tuples, whose field hides tuple.index
    index: int
    name: str
    n_slots: int
    n_hyper: int
    whole_gradient: bool

ACTIVATIONS: dict[str, ActivationInfo]
LOSSES: dict[str, LossInfo]
OPTIMIZERS: dict[str, OptimizerInfo]
FUNCTIONS: dict[str, int]
ISA_NAMES: tuple[str, ...]

PythonLoss = Callable[[Any, np.ndarray], float] | None
Masks = Sequence[np.ndarray | None] | None

def available_isas() -> tuple[str, ...]: ...
def select_isa(name: str | None = None) -> None: ...
def isa() -> str: ...
def kernel_addresses() -> dict[tuple[str, int], int]: ...
def assume_threads(n: int = 0) -> None: ...
def load_blas() -> dict[str, Any]: ...

class Plan:
    n_ops: int
    n_inputs: int
    n_outputs: int
    n_params: int
    widest: int
    width: int
    dropout: bool
    def __init__(self, n_inputs: int, layers: Sequence[tuple[int, str, Sequence[float], float]]) -> None: ...
    def units(self, slot: int) -> int: ...
    def offsets(self, layer: int) -> tuple[int, int, int]: ...

class Layout:
    size: int
    purpose: int
    n_rows: int
    tile_rows: int
    n_row_tiles: int
    n_weight_tiles: int
    cache_bytes: int
    work: int
    def place(self, slot: int) -> tuple[int, int, int]: ...

class SparseMatrix:
    n_rows: int
    n_columns: int
    n_stored: int
    size: int
    def __init__(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        data: np.ndarray,
        n_columns: int,
        segments: np.ndarray | None = None,
    ) -> None: ...

class LossArgs:  # a named tuple, whose field `index` hides tuple.index
    index: int
    par: Sequence[float]
    Y: np.ndarray | None
    classes: np.ndarray | None
    weights: np.ndarray | None
    function: PythonLoss
    alpha: float
    l1: float
    least_weight: float
    def __init__(
        self,
        index: int,
        par: Sequence[float],
        Y: np.ndarray | None = None,
        classes: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        function: PythonLoss = None,
        alpha: float = 0.0,
        l1: float = 0.0,
        least_weight: float = 0.0,
    ) -> None: ...
    def _replace(self, **fields: Any) -> LossArgs: ...

class OptimizerArgs:  # a named tuple too
    index: int
    hyper: Sequence[float]
    state: np.ndarray
    weight_decay: float
    clip_norm: float
    mean: np.ndarray | None
    mean_rate: float
    frozen: np.ndarray | None
    def __init__(
        self,
        index: int,
        hyper: Sequence[float],
        state: np.ndarray,
        weight_decay: float = 0.0,
        clip_norm: float = 0.0,
        mean: np.ndarray | None = None,
        mean_rate: float = 0.0,
        frozen: np.ndarray | None = None,
    ) -> None: ...
    def _replace(self, **fields: Any) -> OptimizerArgs: ...

class Trainer:
    step: int
    kept_waiting: int
    def __init__(
        self,
        plan: Plan,
        layout: Layout,
        params: np.ndarray,
        X: np.ndarray | SparseMatrix,
        loss: LossArgs,
        optimizer: OptimizerArgs,
        *,
        batch: int,
        step: int = 0,
        seed: int = 0,
        n_threads: int = 0,
    ) -> None: ...
    def close(self) -> None: ...
    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int: ...

class RbmTrainer:
    call: int
    def __init__(
        self,
        W: np.ndarray,
        c: np.ndarray,
        b: np.ndarray,
        chains: np.ndarray,
        *,
        batch: int,
        rate: float,
        n_gibbs: int,
        persistent: bool,
        seed: int,
        call: int = 0,
        n_threads: int = 0,
    ) -> None: ...
    def close(self) -> None: ...
    def steps(self, X: np.ndarray) -> None: ...

class Throttle:
    n_members: int
    kept_waiting: int
    trusted: bool
    alone_until: float
    pause: float
    step_alone: float
    def __init__(self, n_members: int, flops: float) -> None: ...
    def next(self, now: float, left: int) -> tuple[int, int]: ...
    def record(
        self, now: float, n: int, n_steps: int, took: float, waited: float = 0.0, late: float = 0.0
    ) -> None: ...

def training_layout(
    plan: Plan,
    size: int,
    batch: int,
    loss: LossArgs,
    optimizer: OptimizerArgs,
    *,
    gather: bool = False,
    two_sweeps: bool | None = None,
    sparse: SparseMatrix | None = None,
) -> Layout: ...

class SmallBatchPredictor:
    def __init__(self, plan: Plan, params: np.ndarray, fallback: Callable[[Any], np.ndarray]) -> None: ...
    def predict(self, X: Any) -> np.ndarray: ...

class RowEnsemble:
    def __init__(
        self,
        plan: Plan,
        rests: Sequence[tuple[Plan, np.ndarray]],
        vectors: np.ndarray,
        medians: np.ndarray,
        factors: np.ndarray,
        begins: np.ndarray,
        edges: np.ndarray,
        places: np.ndarray,
        order: np.ndarray,
        n_cells: int,
    ) -> None: ...
    def logits(self, cells: list[Any], places: list[int], extra: np.ndarray | None) -> Any: ...
    def logits_of_array(self, row: np.ndarray) -> np.ndarray | None: ...

class EmbeddedModel:
    def __init__(self, plan: Plan, params: np.ndarray, kind: str) -> None: ...

def aligned_bytes(n_bytes: int) -> np.ndarray: ...
def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray: ...
def cache_layout(plan: Plan, size: int, n_rows: int, training: bool = False) -> Layout: ...
def predict(
    plan: Plan,
    params: np.ndarray,
    X: np.ndarray | SparseMatrix,
    out: np.ndarray,
    logits: bool = False,
    n_threads: int = 0,
) -> None: ...
def losses(
    plan: Plan,
    params: np.ndarray,
    X: np.ndarray | SparseMatrix,
    loss: LossArgs,
    out: np.ndarray,
    n_threads: int = 0,
) -> None: ...
def forward(
    plan: Plan,
    layout: Layout,
    params: np.ndarray,
    X: np.ndarray,
    cache_block: np.ndarray,
    seed: int,
    masks: Masks,
    logits: bool = False,
) -> np.ndarray: ...
def backward(
    plan: Plan,
    layout: Layout,
    params: np.ndarray,
    X: np.ndarray,
    cache_block: np.ndarray,
    seed: int,
    masks: Masks,
    d_out: np.ndarray,
    logits: bool,
    grad: np.ndarray | None,
    dX: np.ndarray | None,
    add: bool = False,
) -> None: ...
def cost_and_gradient(
    plan: Plan,
    params: np.ndarray,
    X: np.ndarray | SparseMatrix,
    loss: LossArgs,
    grad: np.ndarray,
    n_threads: int = 0,
) -> tuple[float, float]: ...
def update(
    plan: Plan, params: np.ndarray, grad: np.ndarray, optimizer: OptimizerArgs, rate: float, step: int
) -> None: ...
def bernoulli(logits: np.ndarray, out: np.ndarray, seed: int, call: int) -> None: ...
def normal(out: np.ndarray, seed: int, call: int) -> None: ...
def average(params: np.ndarray, other: np.ndarray, rate: float) -> None: ...
def all_finite(array: np.ndarray) -> bool: ...
def layer_in_columns(
    name: str, A_prev: np.ndarray, W: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]: ...
def elementwise(name: str, x: np.ndarray, out: np.ndarray) -> None: ...
