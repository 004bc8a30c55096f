"""The contenders. Each runs in its own process, with its own threads: python peers.py NAME THREADS.

A contender makes a `Run` of a piece of work. Its process reads requests from standard input and answers with
seconds, so that no library influences another one by spinning threads, BLAS settings or memory. All
contenders get the same rows in the same order and the same initial weights. Models, optimizers, compiled code
and converted arrays are made before the clock starts.
"""

from __future__ import annotations

import inspect
import os
import pickle
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
from handwritten import Loops, NumPy
from runs import BETA1, BETA2, EPSILON, Run, best_rate, calls, seconds
from work import RATE, Work, one_hot, rows, start


class Dnn:
    def __init__(self, threads: int) -> None:
        import dnn

        self.dnn, self.threads = dnn, threads or "auto"
        self.predictor = False

    def network(self, work: Work) -> Any:
        return self.dnn.Network(
            work.sizes, output="sigmoid" if work.one_unit else "softmax", dtype=work.dtype, random_state=0
        )

    def training(self, work: Work, n: int) -> Run:
        X, y = rows(work, n)
        net, first = self.network(work), start(work)
        how: dict[str, Any] = {"batch_size": work.batch, "shuffle": False}
        how["optimizer"] = self.dnn.SGD(RATE) if work.optimizer == "descent" else self.dnn.Adam(RATE)
        if "n_threads" in inspect.signature(net.fit).parameters:
            how["n_threads"] = self.threads
        elif self.threads == 2:
            raise NotImplementedError("fit has no parameter n_threads")

        def reset() -> None:
            for p, q in zip((*net.weights, *net.biases), (*first[0], *first[1]), strict=True):
                p[...] = q

        return Run(
            reset,
            lambda epochs: seconds(lambda: net.fit(X, y, epochs=epochs, **how)),
            lambda: (net.weights, net.biases),
        )

    def prediction(self, work: Work, n: int) -> Run:
        X, _ = rows(work, n)
        net, first = self.network(work), start(work)
        for p, q in zip((*net.weights, *net.biases), (*first[0], *first[1]), strict=True):
            p[...] = q
        predict = net.predictor() if self.predictor else net
        return calls(lambda: predict(X))

    def versions(self) -> dict[str, Any]:
        from dnn import _core

        blas = _core.load_blas()
        return {"isa": _core.isa(), "dnn's BLAS": f"{blas['name']} ({blas['core']})"}


class DnnPredictor(Dnn):
    """The snapshot that `Network.predictor` returns."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.predictor = True

    training = None


class ScikitLearn:
    def __init__(self, threads: int) -> None:
        from sklearn.neural_network import MLPClassifier

        class Classifier(MLPClassifier):
            """Records the end of each epoch, at which `loss_` is set."""

            def __setattr__(self, name: str, value: object) -> None:
                super().__setattr__(name, value)
                if name == "loss_":
                    self.__dict__.setdefault("ends", []).append(time.perf_counter())

        self.Classifier = Classifier

    def classifier(self, work: Work, n: int, **how: Any) -> Any:
        return self.Classifier(
            work.sizes[1:-1], alpha=0, batch_size=work.batch or n, learning_rate_init=RATE, momentum=0,
            solver="sgd" if work.optimizer == "descent" else "adam", nesterovs_momentum=False, shuffle=False,
            n_iter_no_change=10**9, tol=0, random_state=0, **how,
        )  # fmt: skip

    def training(self, work: Work, n: int) -> Run:
        X, y = rows(work, n)
        model = None

        def reset() -> None:
            nonlocal model
            model = self.from_start(work, X, y)

        def run(epochs: int) -> float:
            # The end of the first epoch starts the clock, which excludes the validation and copies at the
            # start of fit.
            fresh = self.classifier(work, n, max_iter=epochs + 1)
            fresh.fit(X, y)
            return fresh.ends[-1] - fresh.ends[0]

        def result() -> Any:
            # fit without warm_start draws its own weights, so that the comparison uses warm_start.
            model.max_iter = 1 if work.batch else 3
            model.fit(X, y)
            return model.coefs_, model.intercepts_

        return Run(reset, run, result)

    def from_start(self, work: Work, X: np.ndarray, y: np.ndarray) -> Any:
        """Return a classifier with the common initial weights, from which fit continues."""
        model = self.classifier(work, len(X), max_iter=1, warm_start=True).fit(X, y)
        weights, biases = start(work)
        for p, q in zip((*model.coefs_, *model.intercepts_), (*weights, *biases), strict=True):
            p[...] = q
        return model

    def prediction(self, work: Work, n: int) -> Run:
        if work.sizes[-1] == 2:
            raise NotImplementedError("it uses one unit for two classes")
        few = max(work.sizes[-1], 2)
        model = self.from_start(work, *rows(work, few))
        X, _ = rows(work, n)
        columns = slice(1, 2) if work.one_unit else slice(None)
        return calls(lambda: model.predict_proba(X), lambda P: P[:, columns])


class PyTorch:
    """Eager mode with fused optimizers; batches are slices of a tensor, which is fast for data in memory."""

    compiled = False

    def __init__(self, threads: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads)

    def model(self, work: Work) -> Any:
        torch = self.torch
        layers: list[Any] = []
        for W, b in zip(*start(work), strict=True):
            linear = torch.nn.Linear(*W.shape, dtype=getattr(torch, work.dtype))
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W.T.copy()))
                linear.bias.copy_(torch.from_numpy(b))
            layers += [linear, torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    def training(self, work: Work, n: int) -> Run:
        torch = self.torch
        X, y = rows(work, n)
        X, y = torch.from_numpy(X), torch.from_numpy(one_hot(work, y) if work.one_unit else y)
        cost = torch.nn.BCEWithLogitsLoss() if work.one_unit else torch.nn.CrossEntropyLoss()
        model = self.model(work)
        first = [p.detach().clone() for p in model.parameters()]
        batch = work.batch or n
        optimizer: Any = None
        if self.compiled:
            call = torch.compile(lambda x, t: cost(model(x), t))
        else:

            def call(x: Any, t: Any) -> Any:
                return cost(model(x), t)

        def reset() -> None:
            nonlocal optimizer
            with torch.no_grad():
                for p, q in zip(model.parameters(), first, strict=True):
                    p.copy_(q)
            kind = torch.optim.SGD if work.optimizer == "descent" else torch.optim.Adam
            optimizer = kind(model.parameters(), lr=RATE, fused=True)

        def epochs(count: int) -> None:
            for _ in range(count):
                for begin in range(0, n, batch):
                    optimizer.zero_grad()
                    call(X[begin : begin + batch], y[begin : begin + batch]).backward()
                    optimizer.step()

        def result() -> Any:
            p = [p.detach().numpy() for p in model.parameters()]
            return [W.T for W in p[::2]], p[1::2]

        return Run(reset, lambda count: seconds(lambda: epochs(count)), result)

    def prediction(self, work: Work, n: int) -> Run:
        torch = self.torch
        X = torch.from_numpy(rows(work, n)[0])
        model = self.model(work)
        model.append(torch.nn.Sigmoid() if work.one_unit else torch.nn.Softmax(dim=1)).eval()
        if self.compiled:
            model = torch.compile(model)

        def predict() -> Any:
            with torch.inference_mode():
                return model(X)

        return calls(predict)

    def products(self, dtype: str) -> float:
        torch = self.torch

        def product(n: int) -> Callable[[], object]:
            A, B, C = (torch.ones((n, n), dtype=getattr(torch, dtype)) for _ in range(3))
            return lambda: torch.mm(A, B, out=C)

        return best_rate(product)


class PyTorchCompiled(PyTorch):
    compiled = True


class Jax:
    """jit with lax.scan over the epoch and donated buffers."""

    def __init__(self, threads: int) -> None:
        # XLA sizes its thread pools by the processors that it may use when it starts, and has no setting for
        # it. With one thread it starts on one processor, and later all its threads may use any processor.
        allowed = None
        if hasattr(os, "sched_getaffinity"):
            allowed = os.sched_getaffinity(0)
            os.sched_setaffinity(0, sorted(allowed)[:threads])
        elif threads != 2:
            raise NotImplementedError("one thread needs sched_setaffinity")
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)  # arrays keep their precision
        jax.jit(lambda a: a @ a)(np.ones((64, 64), np.float32)).block_until_ready()
        if allowed:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), allowed)
        self.jax = jax

    def logits(self, params: Any, x: Any) -> Any:
        jnp = self.jax.numpy
        for W, b in params[:-1]:
            x = jnp.maximum(x @ W + b, 0)
        W, b = params[-1]
        return x @ W + b

    def first(self, work: Work) -> Any:
        return [(self.jax.device_put(W), self.jax.device_put(b)) for W, b in zip(*start(work), strict=True)]

    def training(self, work: Work, n: int) -> Run:
        jax, jnp = self.jax, self.jax.numpy
        tree = jax.tree.map
        X, y = rows(work, n)
        batch = work.batch or n
        X = jax.device_put(X.reshape(-1, batch, work.sizes[0]))
        Y = jax.device_put(one_hot(work, y).reshape(-1, batch, work.sizes[-1]))
        real = np.dtype(work.dtype).type

        def cost(params: Any, x: Any, t: Any) -> Any:
            z = self.logits(params, x)
            if work.one_unit:
                return jnp.mean(jax.nn.softplus(z) - t * z)
            return -jnp.sum(t * jax.nn.log_softmax(z)) / batch

        def step(state: Any, part: Any) -> Any:
            params, m, v, t = state
            gradient = jax.grad(cost)(params, *part)
            if work.optimizer == "descent":
                return (tree(lambda p, g: p - real(RATE) * g, params, gradient), m, v, t), None
            t += 1
            m = tree(lambda m, g: real(BETA1) * m + real(1 - BETA1) * g, m, gradient)
            v = tree(lambda v, g: real(BETA2) * v + real(1 - BETA2) * g * g, v, gradient)
            rate, c = real(RATE) / (1 - real(BETA1) ** t), 1 / (1 - real(BETA2) ** t)
            params = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(c * v) + real(EPSILON)), params, m, v)
            return (params, m, v, t), None

        # A full batch has one step per epoch, so that the loop over epochs is compiled.
        if work.batch is None:

            def several(state: Any, X: Any, Y: Any, count: Any) -> Any:
                return jax.lax.fori_loop(0, count, lambda _, s: step(s, (X[0], Y[0]))[0], state)

            compiled = jax.jit(several, donate_argnums=0)
        else:
            compiled = jax.jit(lambda state, X, Y: jax.lax.scan(step, state, (X, Y))[0], donate_argnums=0)
        state: Any = None

        def reset() -> None:
            nonlocal state
            params = self.first(work)
            zeros = [] if work.optimizer == "descent" else params
            state = params, tree(jnp.zeros_like, zeros), tree(jnp.zeros_like, zeros), jnp.asarray(real(0))

        def epochs(count: int) -> None:
            nonlocal state
            if work.batch is None:
                state = compiled(state, X, Y, count)
            else:
                for _ in range(count):
                    state = compiled(state, X, Y)
            jax.block_until_ready(state)

        def result() -> Any:
            return [np.asarray(W) for W, _ in state[0]], [np.asarray(b) for _, b in state[0]]

        return Run(reset, lambda count: seconds(lambda: epochs(count)), result)

    def prediction(self, work: Work, n: int) -> Run:
        jax = self.jax
        X = jax.device_put(rows(work, n)[0])
        params = self.first(work)
        output = jax.nn.sigmoid if work.one_unit else jax.nn.softmax
        predict = jax.jit(lambda params, X: output(self.logits(params, X)))
        return calls(lambda: predict(params, X).block_until_ready())


class OnnxRuntime:
    """One InferenceSession; a call is `session.run` with a NumPy array."""

    def __init__(self, threads: int) -> None:
        import onnx
        import onnxruntime

        self.onnx, self.runtime, self.threads = onnx, onnxruntime, threads

    def prediction(self, work: Work, n: int) -> Run:
        onnx = self.onnx
        helper, numpy_helper = onnx.helper, onnx.numpy_helper
        X, _ = rows(work, n)
        nodes, constants, name = [], [], "X"
        for l, (W, b) in enumerate(zip(*start(work), strict=True)):
            constants += [numpy_helper.from_array(W, f"W{l}"), numpy_helper.from_array(b, f"b{l}")]
            nodes.append(helper.make_node("Gemm", [name, f"W{l}", f"b{l}"], [f"Z{l}"]))
            last = l == len(work.sizes) - 2
            kind = ("Sigmoid" if work.one_unit else "Softmax") if last else "Relu"
            name = "out" if last else f"A{l}"
            nodes.append(helper.make_node(kind, [f"Z{l}"], [name]))
        number = helper.np_dtype_to_tensor_dtype(np.dtype(work.dtype))
        ends = (
            helper.make_tensor_value_info("X", number, [None, work.sizes[0]]),
            helper.make_tensor_value_info("out", number, [None, work.sizes[-1]]),
        )
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
        # Opset 17 and its IR version have all operations, and every current runtime supports them.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return calls(lambda: session.run(None, {"X": X})[0])


class Contender(NamedTuple):
    kind: Any
    packages: tuple[str, ...]  # distributions whose versions are reported
    threads: tuple[int, ...] = (1, 2)
    asked: bool = False  # takes part only if it is selected by name


CONTENDERS = {
    "dnn": Contender(Dnn, ("dnn-core",)),
    "dnn predictor": Contender(DnnPredictor, ("dnn-core",)),
    "PyTorch": Contender(PyTorch, ("torch",)),
    "PyTorch compiled": Contender(PyTorchCompiled, ("torch",), asked=True),
    "JAX": Contender(Jax, ("jax", "jaxlib")),
    "ONNX Runtime": Contender(OnnxRuntime, ("onnxruntime", "onnx")),
    "scikit-learn": Contender(ScikitLearn, ("scikit-learn",)),
    "NumPy": Contender(NumPy, ("numpy",)),
    "loops": Contender(Loops, (), (1,)),
}


def can(name: str, task: str) -> bool:
    return callable(getattr(CONTENDERS[name].kind, task, None))


def missing(name: str) -> list[str]:
    """Return the distributions that a contender needs and that are not installed."""
    found = {d.metadata["Name"].lower() for d in metadata.distributions()}
    return [package for package in CONTENDERS[name].packages if package not in found]


def environment(threads: int | None, isa: str | None = None) -> dict[str, str]:
    """Return the environment of a contender's process; threads=None leaves their number to the library."""
    variables = dict(os.environ)
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "DNN_NUM_THREADS"):
            variables[name] = str(threads)
    if isa == "avx2":  # disables AVX-512 in every library that has a setting for it
        variables |= {
            "DNN_ISA": "avx2", "OPENBLAS_CORETYPE": "HASWELL", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
            "XLA_FLAGS": f"{variables.get('XLA_FLAGS', '')} --xla_cpu_max_isa=AVX2",
            "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_SKX AVX512_ICL AVX512_SPR",
        }  # fmt: skip
    return variables


def serve(name: str, threads: int, requests: Any, answers: Any) -> None:
    """Answer requests (name, arguments) until the input ends."""
    warnings.simplefilter("ignore")  # scikit-learn warns that it has not converged, as intended
    kind = CONTENDERS[name].kind
    contender, run = None, None
    while True:
        try:
            what, *arguments = pickle.load(requests)
        except EOFError:
            return
        answer: Any = None
        try:
            contender = contender or kind(threads)
            if what == "make":
                task, work, n = arguments
                run = None  # frees the memory of the previous run
                run = getattr(contender, task)(work, n)
            elif what == "run":
                run.reset()
                answer = run.run(*arguments)
            elif what == "result":  # of the given number of epochs from the initial weights, or of one call
                run.reset()
                run.run(*arguments)
                answer = run.result()
            else:
                answer = getattr(contender, what)(*arguments)
        except Exception as error:
            if not isinstance(error, NotImplementedError):
                traceback.print_exc()
            answer = error if isinstance(error, NotImplementedError) else RuntimeError(repr(error))
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    # Output of the libraries goes to stderr, because stdout carries the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, answers)
