"""How long does an epoch take? dnn, vectorised NumPy and scikit-learn on the same work.

float32, ReLU hidden layers, log loss, rows in the order given, Adam where rows come in batches and plain
gradient descent where they come as one. dnn works on one thread; the peers at their better of one and two
threads of BLAS. Runs are interleaved, figures are medians, and dnn and NumPy agree on the parameters after
three steps, or it stops. A peer that is not installed is named and left out.

    python benchmarks/run.py [--repeats 5] [--json FILE]
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import dnn
from dnn import _core

WORK = [  # sizes, rows, batch (None: all), epochs a run
    ([2, 4, 1], 400, None, 1000),
    ([12288, 20, 7, 5, 1], 209, None, 10),
    ([8, 64, 64, 1], 20480, 64, 1),
    ([64, 100, 10], 1600, 200, 10),
    ([784, 128, 10], 12800, 128, 1),
    ([784, 512, 512, 10], 12800, 128, 1),
]
RATE = 1e-3


def vectorized(weights, biases, X, Y, batch, epochs):
    """Train in NumPy, in place: every line over a whole batch."""
    params = [*weights, *biases]
    m, v = ([np.zeros_like(p) for p in params] for _ in range(2))
    t, n_layers, one_unit = 0, len(weights), Y.shape[1] == 1
    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            A = [X[begin : begin + batch]]
            for W, b in zip(weights, biases, strict=True):
                Z = A[-1] @ W
                Z += b
                A.append(np.maximum(Z, 0) if len(A) < n_layers else Z)
            if one_unit:
                P = 1 / (1 + np.exp(-A[-1]))
            else:
                P = np.exp(A[-1] - A[-1].max(axis=1, keepdims=True))
                P /= P.sum(axis=1, keepdims=True)
            dZ = (P - Y[begin : begin + batch]) / len(P)
            gradients = [None] * (2 * n_layers)
            for l in reversed(range(n_layers)):
                gradients[l] = A[l].T @ dZ
                gradients[n_layers + l] = dZ.sum(axis=0)
                if l:
                    dZ = dZ @ weights[l].T
                    dZ *= A[l] > 0
            t += 1
            for p, g, first, second in zip(params, gradients, m, v, strict=True):
                if batch == len(X):
                    p -= RATE * g
                    continue
                first *= 0.9
                first += 0.1 * g
                second *= 0.999
                second += 0.001 * g * g
                p -= (RATE / (1 - 0.9**t)) * first / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)


def contenders(sizes, n, batch, epochs):
    """Functions that train for some epochs, by name, after a check that they do the same."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, sizes[0]), dtype=np.float32)
    one_unit = sizes[-1] == 1
    y = rng.integers(0, 2 if one_unit else sizes[-1], n)
    Y = y[:, None].astype(np.float32) if one_unit else np.eye(sizes[-1], dtype=np.float32)[y]
    optimizer = dnn.SGD(RATE) if batch is None else dnn.Adam(RATE)

    def network():
        return dnn.Network(sizes, output="sigmoid" if one_unit else "softmax", random_state=0)

    def parts(net):
        return [W.copy() for W in net.weights], [b.copy() for b in net.biases]

    few = slice(0, n if batch is None else batch)
    net, (weights, biases) = network(), parts(network())
    net.fit(X[few], y[few], optimizer=optimizer, epochs=3, batch_size=batch, shuffle=False)
    vectorized(weights, biases, X[few], Y[few], len(X[few]), 3) if batch is None else vectorized_batches(
        weights, biases, X[few], Y[few], 3
    )
    for ours, theirs in zip((*net.weights, *net.biases), (*weights, *biases), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)

    net, (weights, biases) = network(), parts(network())
    fit = partial(net.fit, X, y, optimizer=optimizer, epochs=epochs, batch_size=batch, shuffle=False)
    found = {"dnn": fit, "NumPy": partial(vectorized, weights, biases, X, Y, batch or n, epochs)}
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        print("scikit-learn is not installed: left out")
        return found
    peer = MLPClassifier(
        sizes[1:-1], solver="sgd" if batch is None else "adam", alpha=0, batch_size=batch or n, momentum=0,
        nesterovs_momentum=False, learning_rate_init=RATE, max_iter=epochs, n_iter_no_change=10**9, tol=0,
        shuffle=False, random_state=0,
    )  # fmt: skip
    found["scikit-learn"] = partial(peer.fit, X, y)
    return found


def vectorized_batches(weights, biases, X, Y, epochs):
    """Adam also where a batch is all rows: what the check needs."""
    vectorized(weights, biases, np.concatenate([X] * epochs), np.concatenate([Y] * epochs), len(X), 1)


def measure(run, threads):
    with threadpool_limits(threads, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that it has not converged
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file as well")
    options = parser.parse_args()
    blas = _core.load_blas()
    machine = {
        "processor": platform.processor() or platform.machine(), "python": platform.python_version(),
        "numpy": np.__version__, "dnn": dnn.__version__, "isa": _core.isa(), "blas": blas["name"],
    }  # fmt: skip
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(f"{'network':22}{'rows':>7}{'batch':>7}{'dnn ms/epoch':>14}   time of the peer / dnn's")
    figures = []
    for sizes, n, batch, epochs in WORK:
        runs = contenders(sizes, n, batch, epochs)
        cases = [(name, t) for name in runs for t in ((1,) if name == "dnn" else (1, 2))]
        times = {case: [] for case in cases}
        for repeat in range(options.repeats + 1):
            for case in cases:
                seconds = measure(runs[case[0]], case[1])
                if repeat:  # the first warms up
                    times[case].append(seconds / epochs)
        best = {
            name: min(statistics.median(times[case]) for case in cases if case[0] == name) for name in runs
        }
        ratios = {name: best[name] / best["dnn"] for name in runs if name != "dnn"}
        name = "-".join(map(str, sizes))
        print(
            f"{name:22}{n:7}{batch or 'all':>7}{best['dnn'] * 1e3:14.3f}   "
            + ", ".join(f"{peer} {ratio:.1f}" for peer, ratio in ratios.items())
        )
        figures.append({"network": name, "rows": n, "batch": batch, "seconds": best, "ratios": ratios})
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "figures": figures}, file, indent=1)


if __name__ == "__main__":
    main()
