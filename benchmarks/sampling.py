"""How many random values per second does a `Sampler` draw, beside NumPy's generator?

NumPy draws uniform variables for Bernoulli ones (``rng.random(n) < p``, with the probabilities given), and
standard normal ones. Contenders are timed in turns, on one thread; the figures are medians, in millions of
values per second of processor time.

    python benchmarks/sampling.py [--quick]
"""

import argparse
import statistics
import time

import numpy as np

from dnn import Sampler, _core


def rate(draw, n):
    """Return millions of values per second of processor time."""
    repeats = max(1, 4_000_000 // n)
    begin = time.process_time()
    for _ in range(repeats):
        draw()
    return repeats * n / (time.process_time() - begin) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds")
    rounds = 3 if parser.parse_args().quick else 15
    _core.assume_threads(1)
    rng = np.random.default_rng(0)
    print(f"{'values':>9} {'kind':20} {'dnn':>8} {'NumPy':>8}  ratio   ({_core.isa()})")
    for n in (1000, 100_000, 1_000_000):
        for dtype in (np.float32, np.float64):
            sampler, out = Sampler(0), np.empty(n, dtype)
            logits = rng.standard_normal(n, dtype)
            p = 1 / (1 + np.exp(-logits))
            kinds = {
                "bernoulli": (
                    lambda s=sampler, z=logits, o=out: s.bernoulli(z, out=o),
                    lambda p=p, o=out: np.less(rng.random(dtype=o.dtype, out=o), p, out=o),
                ),
                "normal": (
                    lambda s=sampler, o=out: s.normal(o.shape, out=o),
                    lambda o=out: rng.standard_normal(dtype=o.dtype, out=o),
                ),
            }
            for kind, contenders in kinds.items():
                rates = [[rate(draw, n) for draw in contenders] for _ in range(rounds)]
                dnn, numpy = (statistics.median(column) for column in zip(*rates, strict=True))
                name = f"{kind} {np.dtype(dtype)}"
                print(f"{n:9} {name:20} {dnn:8.0f} {numpy:8.0f}  {dnn / numpy:5.1f}")


if __name__ == "__main__":
    main()
