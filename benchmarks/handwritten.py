"""The contenders that use no library of networks: vectorised NumPy, and plain Python loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from runs import BETA1, BETA2, EPSILON, Run, best_rate, calls, seconds
from work import RATE, Work, one_hot, rows, start


class NumPy:
    """Vectorized NumPy: every line processes a whole batch, and the update all parameters at once."""

    corrected = True  # Adam adds epsilon to the corrected root, as in its paper

    def __init__(self, threads: int) -> None:
        pass  # set by environment variables: see `environment`

    def training(self, work: Work, n: int) -> Run:
        X, y = rows(work, n)
        Y = one_hot(work, y)
        first_weights, first_biases = start(work)
        params = np.empty(work.n_params, work.dtype)
        gradient, m, v, workspace = (np.zeros_like(params) for _ in range(4))

        def views(flat: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
            weights, biases, begin = [], [], 0
            for W in first_weights:
                weights.append(flat[begin : begin + W.size].reshape(W.shape))
                begin += W.size
                biases.append(flat[begin : begin + W.shape[1]])
                begin += W.shape[1]
            return weights, biases

        (weights, biases), (dW, db) = views(params), views(gradient)
        batch, last = work.batch or n, len(weights) - 1
        t = 0

        def reset() -> None:
            nonlocal t
            t = 0
            m[:], v[:] = 0, 0
            for p, first in zip((*weights, *biases), (*first_weights, *first_biases), strict=True):
                p[...] = first

        def epochs(count: int) -> None:
            nonlocal t
            for _ in range(count):
                for begin in range(0, n, batch):
                    A = [X[begin : begin + batch]]
                    for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
                        Z = A[l] @ W
                        Z += b
                        A.append(np.maximum(Z, 0, out=Z) if l < last else probabilities(Z))
                    dZ = A[-1]
                    dZ -= Y[begin : begin + batch]
                    dZ /= len(dZ)
                    for l in range(last, -1, -1):
                        np.matmul(A[l].T, dZ, out=dW[l])
                        np.sum(dZ, axis=0, out=db[l])
                        if l:
                            dZ = dZ @ weights[l].T
                            dZ *= A[l] > 0
                    if work.optimizer == "descent":
                        np.multiply(gradient, RATE, out=workspace)
                        np.subtract(params, workspace, out=params)
                        continue
                    t += 1
                    np.multiply(m, BETA1, out=m)
                    np.multiply(gradient, 1 - BETA1, out=workspace)
                    np.add(m, workspace, out=m)
                    np.multiply(v, BETA2, out=v)
                    np.multiply(gradient, gradient, out=gradient)
                    np.multiply(gradient, 1 - BETA2, out=gradient)
                    np.add(v, gradient, out=v)
                    np.multiply(v, 1 / (1 - BETA2**t), out=workspace)
                    np.sqrt(workspace, out=workspace)
                    epsilon = EPSILON if self.corrected else EPSILON / math.sqrt(1 - BETA2**t)
                    np.add(workspace, epsilon, out=workspace)
                    np.divide(m, workspace, out=workspace)
                    np.multiply(workspace, RATE / (1 - BETA1**t), out=workspace)
                    np.subtract(params, workspace, out=params)

        return Run(reset, lambda count: seconds(lambda: epochs(count)), lambda: (weights, biases))

    def prediction(self, work: Work, n: int) -> Run:
        X, _ = rows(work, n)
        weights, biases = start(work)

        def predict() -> np.ndarray:
            A = X
            for W, b in zip(weights[:-1], biases[:-1], strict=True):
                Z = A @ W
                Z += b
                A = np.maximum(Z, 0, out=Z)
            Z = A @ weights[-1]
            Z += biases[-1]
            return probabilities(Z)

        return calls(predict)

    def products(self, dtype: str) -> float:
        """Return the best rate of large matrix products, in flops per second."""

        def product(n: int) -> Callable[[], object]:
            A, B, C = (np.ones((n, n), dtype) for _ in range(3))
            return lambda: np.matmul(A, B, out=C)

        return best_rate(product)


def probabilities(Z: np.ndarray) -> np.ndarray:
    """Return sigmoid or softmax of the logits, in place."""
    if Z.shape[1] == 1:
        np.negative(Z, out=Z)
        np.exp(Z, out=Z)
        Z += 1
        return np.reciprocal(Z, out=Z)
    Z -= Z.max(axis=1, keepdims=True)
    np.exp(Z, out=Z)
    Z /= Z.sum(axis=1, keepdims=True)
    return Z


class Loops:
    """Plain Python, one row and one weight at a time. Timed on a few rows and one update, then scaled."""

    def __init__(self, threads: int) -> None:
        pass

    def outputs(self, work: Work, weights: list, biases: list, x: list) -> list[list[float]]:
        A = [x]
        for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
            z = list(b)
            for k, a in enumerate(A[l]):
                row = W[k]
                for j in range(len(z)):
                    z[j] += a * row[j]
            if l < len(weights) - 1:
                z = [max(0.0, value) for value in z]
            elif work.one_unit:
                z = [1 / (1 + math.exp(-z[0]))]
            else:
                highest = max(z)
                z = [math.exp(value - highest) for value in z]
                total = sum(z)
                z = [value / total for value in z]
            A.append(z)
        return A

    def training(self, work: Work, n: int) -> Run:
        if work.n_params > 1_000_000:
            raise NotImplementedError("an epoch takes hours")
        X, y = rows(work, n)
        X, Y = X.tolist(), one_hot(work, y).tolist()
        batch = work.batch or n
        weights: list = []
        biases: list = []
        dW: list = []
        db: list = []
        state: dict[str, Any] = {}

        def reset() -> None:
            first = start(work)
            weights[:], biases[:] = ([p.tolist() for p in part] for part in first)
            for name in "mv":
                state[name] = [np.zeros_like(p).tolist() for p in (*first[0], *first[1])]
            state["t"] = 0
            clear()

        def clear() -> None:
            dW[:] = [[[0.0] * len(row) for row in W] for W in weights]
            db[:] = [[0.0] * len(b) for b in biases]

        def learn(i: int) -> None:
            A = self.outputs(work, weights, biases, X[i])
            dz = [(p - t) / batch for p, t in zip(A[-1], Y[i], strict=True)]
            for l in range(len(weights) - 1, -1, -1):
                for j, d in enumerate(dz):
                    db[l][j] += d
                below = []
                for k, a in enumerate(A[l]):
                    row, slopes, total = weights[l][k], dW[l][k], 0.0
                    for j, d in enumerate(dz):
                        slopes[j] += a * d
                        total += row[j] * d
                    below.append(total if a > 0 else 0.0)
                dz = below

        def step() -> None:
            state["t"] += 1
            t = state["t"]
            lists = []  # rows of W, and b, each with gradient, m and v
            for place, (P, G) in enumerate(zip((*weights, *biases), (*dW, *db), strict=True)):
                parts = P, G, state["m"][place], state["v"][place]
                lists += zip(*parts, strict=True) if place < len(weights) else [parts]
            for p, g, m, v in lists:
                for j in range(len(p)):
                    if work.optimizer == "descent":
                        p[j] -= RATE * g[j]
                        continue
                    m[j] = BETA1 * m[j] + (1 - BETA1) * g[j]
                    v[j] = BETA2 * v[j] + (1 - BETA2) * g[j] * g[j]
                    p[j] -= RATE * m[j] / (1 - BETA1**t) / (math.sqrt(v[j] / (1 - BETA2**t)) + EPSILON)
            clear()

        def run(count: int) -> float:
            if n <= 12:  # the comparison runs the whole epoch
                return seconds(
                    lambda: [(learn(i), (i + 1) % batch or step()) for _ in range(count) for i in range(n)]
                )
            few = max(1, min(n, 100_000 // work.n_params))
            seconds_per_row = seconds(lambda: [learn(i) for i in range(few)]) / few
            return count * (n * seconds_per_row + n // batch * seconds(step))

        def result() -> Any:
            return tuple([np.array(p, work.dtype) for p in part] for part in (weights, biases))

        return Run(reset, run, result)

    def prediction(self, work: Work, n: int) -> Run:
        if work.n_params > 1_000_000:
            raise NotImplementedError("a row takes seconds")
        X, _ = rows(work, n)
        X = X.tolist()
        weights, biases = ([p.tolist() for p in part] for part in start(work))

        def run(count: int) -> float:
            few = max(1, min(n, 100_000 // work.n_params))
            return (
                count * n / few * seconds(lambda: [self.outputs(work, weights, biases, x) for x in X[:few]])
            )

        return Run(
            lambda: None,
            run,
            lambda: np.array([self.outputs(work, weights, biases, x)[-1] for x in X[:10]]),
        )
