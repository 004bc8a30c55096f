"""A failed allocation raises MemoryError, and the network still works; nothing crashes or waits forever."""

import os
import subprocess
import sys

import pytest

# Each case is a process of its own, because only the first call of a process allocates the memory of BLAS.
SCRIPT = """
import os, resource, signal, sys
import numpy as np
import scipy.optimize
import dnn
from dnn import _core
from dnn.training import lbfgs

rng = np.random.default_rng(0)
X = rng.standard_normal((2000, 100)).astype("f4")
y = rng.integers(0, 10, 2000)
net = dnn.Network([100, 300, 200, 10], output="softmax", random_state=0)
small = dnn.Network([8, 64, 64, 1], random_state=0)
before = net.params.tobytes()


def forward_and_backward():
    out, cache = net.forward(X)
    net.backward(cache, np.ones_like(out))


def custom(y, z):
    return np.ones(len(z)), np.zeros_like(z)


def rbm():
    arrays = [np.zeros(shape, "f4") for shape in ((300, 100), 300, 100, (500, 300))]
    _core.RbmTrainer(*arrays, batch=500, rate=0.1, n_gibbs=1, persistent=True, seed=0).steps(X)


WORK = {
    "forward and backward": forward_and_backward,
    "loss_and_gradient": lambda: net.loss_and_gradient(X, y),
    "L-BFGS": lambda: net.fit(X, y, optimizer="lbfgs", epochs=2),
    "fit": lambda: net.fit(X, y, epochs=1),
    "fit, small": lambda: small.fit(X[:, :8], X[:, :1], epochs=1),
    "fit, custom loss": lambda: net.fit(X, np.zeros((2000, 10)), loss=custom, epochs=1),
    "predict": lambda: net.predict(X),
    "predict, float64": lambda: net.predict(X.astype(float)),
    "one row": lambda: net(X[0]),
    "losses": lambda: net.losses(X, y),
    "noise": lambda: dnn.Sampler(0).normal(3_000_000),
    "an RBM": rbm,
    "a network": lambda: dnn.Network([3000, 3000, 10]),
}


def outcome(work, n_threads, headroom):
    _core.assume_threads(n_threads)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    signal.alarm(60)
    resource.setrlimit(resource.RLIMIT_AS, (used + headroom, resource.RLIM_INFINITY))
    try:
        work()
        return 0
    except MemoryError:
        pass
    except BaseException as error:
        os.write(2, repr(error).encode())
        return 2
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    if np.isfinite(net.params).all():
        net.predict(X)
        net.fit(X, y, epochs=1)
        return 1
    return 3


refused = done = 0
for name, work in WORK.items():
    for n_threads in (1, 3):
        for headroom in (0, 300_000, 2_000_000, 9_000_000, 25_000_000, 400_000_000):
            child = os.fork()
            if child == 0:
                os._exit(outcome(work, n_threads, headroom))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 1), f"{name}, {n_threads} threads, {headroom} bytes: {code}"
            done += code == 0
            refused += code == 1
print(done, refused)
"""


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux, to limit memory")
def test_allocation_failure_is_a_memory_error(isa):
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env=dict(os.environ, DNN_ISA=isa), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    done, refused = map(int, ran.stdout.split())
    assert done >= 22 and refused >= 22  # both outcomes occur
