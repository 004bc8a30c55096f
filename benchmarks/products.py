"""How fast are dnn's own matrix products, compared with the BLAS of SciPy, on one thread?

The benchmark times the three products of a layer of n x n weights on a batch of 128 rows, Z = A W, dA = dZ W'
and dW = A' dZ, in float32. Both libraries are called through pointers, so that no Python interface is
measured; once with the best instruction set of the processor, and once limited to AVX2 (DNN_ISA,
OPENBLAS_CORETYPE).

python benchmarks/products.py [--quick] [--json FILE] [--isa avx2]
"""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import measuring

NAME = "products"
WIDTHS = [16, 32, 64, 100, 128, 256, 512, 1024, 2048]
ROWS = 128
SIZE = ctypes.c_ssize_t
PLACE = ctypes.c_void_p


class Matrix(ctypes.Structure):
    """DnnMatrix of the core: see src/dnn/core/kernels/kernels.h."""

    _fields_ = (("at", PLACE), ("ld", SIZE), ("rows", PLACE), ("column", SIZE))


class Epilogue(ctypes.Structure):
    """DnnEpilogue of the core, all 0: nothing is applied to the result."""

    _fields_ = (("kind", ctypes.c_int), ("bias", PLACE), ("slope", Matrix))


def kernels() -> tuple[Any, Any, Any]:
    """The core's gemm_nn and gemm_tn, and SciPy's sgemm, each as a function of addresses."""
    from scipy.linalg import cython_blas

    from dnn import _core

    addresses = _core.kernel_addresses()
    if not addresses["gemm_nn", 4]:
        raise SystemExit("this instruction set has no matrix products of dnn's own")
    matrices = [ctypes.POINTER(Matrix)] * 3
    gemm_nn = ctypes.CFUNCTYPE(None, SIZE, SIZE, SIZE, *matrices, ctypes.POINTER(Epilogue), PLACE)
    gemm_tn = ctypes.CFUNCTYPE(None, SIZE, SIZE, SIZE, *matrices, PLACE, PLACE)
    product, gradient = gemm_nn(addresses["gemm_nn", 4]), gemm_tn(addresses["gemm_tn", 4])
    capsule = cython_blas.__pyx_capi__["sgemm"]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    sgemm = ctypes.CFUNCTYPE(None, *[PLACE] * 13)(pointer(capsule, name(capsule)))
    return product, gradient, sgemm


def here(repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Return the figures of this process."""
    from threadpoolctl import threadpool_limits

    from dnn import _core

    core = _core.load_blas()["core"]
    figures = []
    with threadpool_limits(1, user_api="blas"):
        for n in WIDTHS:
            for what, with_dnn, with_blas in contenders(n):
                rates = race(with_dnn, with_blas, 2 * ROWS * n * n, repeats, seconds)
                figures.append({"width": n, "product": what, "isa": _core.isa(), "core": core, **rates})
    return figures


def contenders(n: int) -> list[tuple[str, Any, Any]]:
    """Return for each product of a layer of n x n weights its name, dnn's call, and that of BLAS."""
    import numpy as np

    product, gradient, sgemm = kernels()
    ld = n + 16  # as in the core, the distance of rows is never a multiple of 512 bytes
    rng = np.random.default_rng(0)
    A, D = (rng.standard_normal((ROWS, ld), dtype=np.float32) for _ in range(2))
    W = rng.standard_normal((n, ld), dtype=np.float32)
    C, E, G, H = (np.zeros((m, ld), np.float32) for m in (ROWS, ROWS, n, n))

    room = np.empty(1 << 21, np.uint8)  # the workspace of a thread for copies of operands

    def at(x: Any) -> int:
        return int(x.ctypes.data)

    workspace = (at(room) + 63) // 64 * 64
    a, d, w, c, e, g, h = map(at, (A, D, W, C, E, G, H))
    held = A, D, W, C, E, G, H, room
    plain, transposed = ctypes.byref(ctypes.c_char(b"N")), ctypes.byref(ctypes.c_char(b"T"))
    one, zero = ctypes.byref(ctypes.c_float(1)), ctypes.byref(ctypes.c_float(0))
    width, rows, step = (ctypes.byref(ctypes.c_int64(value)) for value in (n, ROWS, ld))

    inputs, weights, slopes, outputs, grad = (Matrix(x, ld, None, 0) for x in (a, w, d, c, g))
    nothing = Epilogue()

    def forward_dnn() -> None:
        product(ROWS, n, n, inputs, weights, outputs, nothing, workspace)

    def gradient_dnn() -> None:
        gradient(ROWS, n, n, inputs, slopes, grad, workspace, None)

    def forward_blas(held: Any = held) -> None:
        sgemm(plain, plain, width, rows, width, one, w, step, a, step, zero, e, step)

    def back_blas() -> None:
        sgemm(transposed, plain, width, rows, width, one, w, step, d, step, zero, e, step)

    def gradient_blas() -> None:
        sgemm(plain, transposed, width, width, rows, one, d, step, a, step, zero, h, step)

    forward_dnn(), forward_blas(), gradient_dnn(), gradient_blas()
    np.testing.assert_allclose(C[:, :n], E[:, :n], rtol=0, atol=2e-3)
    np.testing.assert_allclose(G[:, :n], H[:, :n], rtol=0, atol=2e-3)
    # dA = dZ W' is the forward product with W' instead of W; the core keeps a copy of W'.
    return [
        ("A W", forward_dnn, forward_blas),
        ("dZ W'", forward_dnn, back_blas),
        ("A' dZ", gradient_dnn, gradient_blas),
    ]


def race(with_dnn: Any, with_blas: Any, flops: float, repeats: int, seconds: float) -> dict[str, float]:
    """Return the median rates, in Gflop/s, timed alternately."""
    calls = max(1, int(seconds * 5e10 / flops))
    times: dict[str, list[float]] = {"dnn": [], "BLAS": []}
    for repeat in range(repeats + 1):
        for name, function in (("dnn", with_dnn), ("BLAS", with_blas)):
            begin = time.perf_counter()
            for _ in range(calls):
                function()
            if repeat:  # the first warms up
                times[name].append((time.perf_counter() - begin) / calls)
    return {name: 1e-9 * flops / statistics.median(t) for name, t in times.items()}


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    for isa, core in (("avx512", None), ("avx2", "HASWELL")):
        env = dict(os.environ, DNN_ISA=isa)
        if core:
            env["OPENBLAS_CORETYPE"] = core
        done = subprocess.run(
            [sys.executable, __file__, "--here", str(4 * options.repeats + 1), str(options.seconds / 10)],
            env=env, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            print(f"products, {isa}: excluded: {done.stderr.strip().splitlines()[-1]}")
        else:
            figures += json.loads(done.stdout)
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    body = []
    for f in figures:
        if f["product"] == "A W":
            three = [g for g in figures if (g["isa"], g["width"]) == (f["isa"], f["width"])]
            body.append(
                [f"{f['isa']}, BLAS for {f['core']}", str(f["width"])]
                + [f"{g['dnn']:.0f} / {g['BLAS']:.0f} = {g['dnn'] / g['BLAS']:.2f}" for g in three]
            )
    return measuring.markdown(["", "width", "A W", "dZ W'", "A' dZ"], body)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        print(json.dumps(here(int(sys.argv[2]), float(sys.argv[3]))))
    else:
        measuring.main(sys.modules[__name__])
