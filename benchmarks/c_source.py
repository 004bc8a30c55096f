"""How long does one row take from C, on one thread: through dnn.h, or as the C source that `to_c` writes?

The benchmark compiles the C source with -O3 -march=native. It times a call of it, a call of
dnn_predict_float, and dnn's products with bias and relu for the same layers alone, all in a loop in C. It
also times the compilers on 10 MB of weights.

python benchmarks/c_source.py [--quick] [--json FILE] [--isa avx2]
"""

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import measuring

NAME = "c_source"
NETWORKS = [
    [64, 64],
    [64, 64, 64],
    [64, 64, 64, 64],
    [4, 64, 64, 2],
    [64, 64, 10],
    [100, 100, 100, 1],
    [256, 256, 256],
]
LARGE = [1000, 1000, 1000, 600, 10]  # 2.6 million weights in float32
COMPILERS = ("gcc", "clang")
CORE = Path(__file__).parents[1] / "src" / "dnn" / "core"

TIMING = """
#include "dnn.h"
#include "kernels.h"
#include <time.h>

typedef void Predict(const float *x, float *y);
typedef void Product(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DnnMatrix *A, const DnnMatrix *B,
                     const DnnMatrix *C, const DnnEpilogue *epilogue, void *workspace);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds per call. */
double time_source(Predict *predict, const float *x, float *y, int n_calls)
{
    const double begin = now();
    for (int call = 0; call < n_calls; call++)
        predict(x, y);
    return (now() - begin) / n_calls;
}

double time_call(PyObject *object, const float *x, float *y, int n_calls)
{
    DnnModel *model;
    if (dnn_import() < 0 || dnn_from_object(object, &model) != DNN_OK)
        return -1;
    const double begin = now();
    for (int call = 0; call < n_calls; call++)
        dnn_predict_float(model, x, 1, y);
    const double end = now();
    dnn_close(model);
    return (end - begin) / n_calls;
}

/* The layers of `widths`, relu after each but the last; two buffers of the widest layer. */
double time_kernel(Product *product, int n_layers, const int *widths, float *const *W, float *const *b,
                   const float *x, float *y, float *p, float *q, void *workspace, int n_calls)
{
    const double begin = now();
    for (int call = 0; call < n_calls; call++) {
        const void *here = x;
        for (int l = 0; l < n_layers; l++) {
            float *there = l == n_layers - 1 ? y : l % 2 ? q : p;
            const DnnMatrix A = {.at = (void *)here, .ld = widths[l]};
            const DnnMatrix B = {.at = W[l], .ld = widths[l + 1]}, C = {.at = there, .ld = widths[l + 1]};
            const DnnEpilogue epilogue = {
                .kind = l == n_layers - 1 ? DNN_EPILOGUE_NONE : DNN_EPILOGUE_RELU, .bias = b[l]};
            product(1, widths[l + 1], widths[l], &A, &B, &C, &epilogue, workspace);
            here = there;
        }
    }
    return (now() - begin) / n_calls;
}
"""


def build(compiler: str, *arguments: str | Path) -> None:
    """Compile a shared library."""
    subprocess.run([compiler, "-O3", "-shared", "-fPIC", *map(str, arguments), "-lm"], check=True)


def here(repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Return the figures of this process."""
    import numpy as np

    import dnn
    from dnn import _core

    product = _core.kernel_addresses()["gemm_nn", 4]
    if not product:
        raise SystemExit("dnn has no matrix kernels of its own for this instruction set")
    machine = "-march=haswell" if _core.isa() == "avx2" else "-march=native"
    compilers = [name for name in COMPILERS if shutil.which(name)]
    room = np.empty(1 << 21, np.uint8)  # the workspace of the kernels, on a cache line
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        timing = Path(folder, "timing.c")
        timing.write_text(TIMING)
        # -iquote: their folder has a math.h, which must not be taken for the compiler's own
        headers = ("-iquote", CORE / "kernels", "-I", dnn.get_include(), "-I", sysconfig.get_path("include"))
        build(compilers[0], "-std=gnu99", *headers, timing, "-o", f"{folder}/timing.so")
        timing_library = ctypes.PyDLL(f"{folder}/timing.so")  # time_call uses Python, and needs the GIL
        for function in (timing_library.time_source, timing_library.time_kernel, timing_library.time_call):
            function.restype = ctypes.c_double
        for sizes in NETWORKS:
            net = dnn.Network(sizes, random_state=0)
            net.biases[0][:] = 0.1
            name = "net_" + "_".join(map(str, sizes))
            net.to_c(f"{folder}/{name}.c")
            x = np.random.default_rng(0).standard_normal(sizes[0], dtype=np.float32)
            outputs: dict[str, Any] = {}
            timers: dict[str, Any] = {}
            for compiler in compilers:
                library = f"{folder}/{name}-{compiler}.so"
                build(compiler, "-std=c99", machine, f"{folder}/{name}.c", "-o", library)
                predict = getattr(ctypes.CDLL(library), f"{name}_predict")
                outputs[compiler] = y = np.zeros(sizes[-1], np.float32)

                def time_source(n_calls: int, predict: Any = predict, y: Any = y, x: Any = x) -> float:
                    return timing_library.time_source(predict, at(x), at(y), n_calls)

                timers[compiler] = time_source
            outputs["dnn"] = y = np.zeros(sizes[-1], np.float32)
            buffers = np.zeros((2, max(sizes)), np.float32)
            arguments = (
                ctypes.c_void_p(product), len(sizes) - 1, (ctypes.c_int * len(sizes))(*sizes),
                addresses(net.weights), addresses(net.biases), at(x), at(y), at(buffers[0]), at(buffers[1]),
                ctypes.c_void_p((room.ctypes.data + 63) // 64 * 64),
            )  # fmt: skip

            def time_kernel(n_calls: int, arguments: Any = arguments) -> float:
                return timing_library.time_kernel(*arguments, n_calls)

            timers["dnn"] = time_kernel
            outputs["call"] = y = np.zeros(sizes[-1], np.float32)

            def time_call(n_calls: int, net: Any = net, y: Any = y, x: Any = x) -> float:
                return timing_library.time_call(ctypes.py_object(net), at(x), at(y), n_calls)

            timers["call"] = time_call
            n_calls = max(1, int(seconds / timers["dnn"](100)))
            times: dict[str, list[float]] = {who: [] for who in timers}
            for _ in range(repeats):
                for who, timer in timers.items():
                    times[who].append(timer(n_calls))
            for y in outputs.values():
                np.testing.assert_allclose(y, net(x), rtol=0, atol=1e-5)
            medians = {who: statistics.median(every) for who, every in times.items()}
            figures.append({"sizes": sizes, "isa": _core.isa(), "times": medians, "all": times})
    return figures


def at(x: Any) -> ctypes.c_void_p:
    """Return the address of an array."""
    return ctypes.c_void_p(x.ctypes.data)


def addresses(arrays: Any) -> Any:
    """Return the addresses of arrays as C's array of pointers."""
    return (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays))


def compile_times() -> dict[str, Any]:
    """Return how long to_c takes for 10 MB of weights, and each compiler for what it writes, in seconds."""
    import dnn

    net = dnn.Network(LARGE, random_state=0)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        net.to_c(f"{folder}/large.c", verify=False)
        found["to_c"] = time.perf_counter() - begin
        for compiler in COMPILERS:
            if shutil.which(compiler):
                begin = time.perf_counter()
                build(compiler, "-std=c99", "-march=native", f"{folder}/large.c", "-o", f"{folder}/large.so")
                found[compiler] = time.perf_counter() - begin
    return {"bytes": 4 * net.n_params, "compile": found}


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    if not any(map(shutil.which, COMPILERS)):
        print("c_source: excluded: neither gcc nor clang is installed")
        return []
    figures = []
    for isa in ("avx2",) if options.isa == "avx2" else ("avx512", "avx2"):
        done = subprocess.run(
            # Many short runs in turn: the median stays the same if another process interrupts some of them
            [sys.executable, __file__, "--here", str(100 * options.repeats + 1), str(options.seconds / 500)],
            env=dict(os.environ, DNN_ISA=isa), capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            print(f"c_source, {isa}: excluded: {done.stderr.strip().splitlines()[-1]}")
        else:
            figures += json.loads(done.stdout)
    return figures if options.quick else [*figures, compile_times()]


def table(figures: list[dict[str, Any]]) -> str:
    body = []
    for f in figures:
        if "sizes" in f:
            times = [f["times"].get(who) for who in ("dnn", "call", *COMPILERS)]
            body.append(
                [f"{'-'.join(map(str, f['sizes']))}, {f['isa']}"]
                + [f"{1e9 * seconds:.0f}" if seconds else "-" for seconds in times]
                + [f"{seconds / times[0]:.2f}" if seconds else "-" for seconds in times[2:]]
            )
    head = ["one row", "dnn's kernels, ns", "dnn.h, ns", "gcc, ns", "clang, ns", "gcc / dnn", "clang / dnn"]
    text = measuring.markdown(head, body)
    for f in figures:
        if "compile" in f:
            seconds = ", ".join(f"{who} {value:.0f} s" for who, value in f["compile"].items())
            text += f"\n\n{f['bytes'] / 1e6:.1f} MB of weights: {seconds}."
    return text


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        print(json.dumps(here(int(sys.argv[2]), float(sys.argv[3]))))
    else:
        measuring.main(sys.modules[__name__])
