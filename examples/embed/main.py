"""Saves a network, and predicts with it from C and from Cython, on two threads each.

Compile the modules first: ``python setup.py build_ext --inplace``, then run ``python main.py``.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import from_c
import from_cython
import numpy as np

from dnn import Network


def main():
    """Return the outputs (N, O) of the network, of the module in C, and of the module in Cython."""
    net = Network([4, 64, 64, 2], output="softmax", random_state=0)
    X = np.random.default_rng(0).standard_normal((1000, 4), dtype=np.float32)
    in_c, in_cython = np.empty((1000, 2), np.float32), np.empty((1000, 2), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "net.safetensors"))
        net.save(path)
        from_c.predict(path, X, in_c)
        model = from_cython.Model(path)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(model.predict, (X[:500], X[500:]), (in_cython[:500], in_cython[500:])))
    return net(X), in_c, in_cython


if __name__ == "__main__":
    expected, *found = main()
    # With AVX2 or AVX-512 they have the same bits, however the rows are divided among calls
    print("the same outputs from C and from Cython:", np.allclose(found, expected, rtol=0, atol=1e-6))
