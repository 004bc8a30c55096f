"""The model of examples/language_model.py at full size, and its training steps beside PyTorch.

The steps of dnn and of PyTorch (nn.Embedding, Linear, Tanh, Dropout, Linear, cross entropy, fused Adam), of
the same sizes, batches and precision, are timed alternately. Then the program runs at full size, each seed
with another division of the files, and medians and ranges of the perplexities are printed.

    python benchmarks/programs/language_model.py [--quick] [--threads 1] [--seeds 1]
"""

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import language_model as lm

SIZE, HIDDEN = 100, 256


def with_dnn(grams, n_words):
    """Return a function that trains for an epoch."""
    rng = np.random.default_rng(0)
    model = lm.NeuralModel(n_words, SIZE, HIDDEN, rng)
    return lambda: model.train(grams, 1, rng)


def with_torch(grams, n_words, threads):
    """Return the same for PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Embedding(n_words, SIZE), nn.Flatten(), nn.Dropout(0.2), nn.Linear(lm.CONTEXT * SIZE, HIDDEN),
        nn.Tanh(), nn.Dropout(0.5), nn.Linear(HIDDEN, n_words),
    )  # fmt: skip
    nn.init.normal_(net[0].weight, std=0.05)
    adam = torch.optim.Adam(net.parameters(), lr=lm.RATE, fused=True)
    grams = torch.from_numpy(grams)

    def epoch():
        for batch in torch.randperm(len(grams)).split(lm.BATCH_SIZE):
            rows = grams[batch]
            loss = nn.functional.cross_entropy(net(rows[:, :-1]), rows[:, -1])
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()

    return epoch


def times(quick, threads):
    """Print the time of a step; the epochs of both libraries, of a part of the text, alternate."""
    rng = np.random.default_rng(0)
    vocabulary, train, _ = lm.corpus(lm.files_of(["numpy", "scipy"]), 4000, rng)
    grams = lm.windows(train, lm.CONTEXT + 1)[: (20 if quick else 200) * lm.BATCH_SIZE]
    contenders = {"dnn": with_dnn(grams, len(vocabulary))}
    try:
        contenders["PyTorch"] = with_torch(grams, len(vocabulary), threads)
    except ImportError:
        print("PyTorch is not installed, and excluded")
    seconds = {name: [] for name in contenders}
    for repeat in range(3 if quick else 8):
        for name, epoch in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            epoch()
            if repeat:  # the first warms up
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    n_steps, medians = len(grams) / lm.BATCH_SIZE, {}
    for name, pairs in seconds.items():
        wall, cpu = (1000 * statistics.median(s) / n_steps for s in zip(*pairs, strict=True))
        medians[name] = wall, cpu
        print(f"  {name}: {wall:.2f} ms per step of {lm.BATCH_SIZE} words ({cpu:.2f} ms of the processor)")
    if len(medians) == 2:
        ratios = (slow / fast for slow, fast in zip(medians["PyTorch"], medians["dnn"], strict=True))
        print("  dnn is {:.2f} times as fast as PyTorch ({:.2f} by processor time)".format(*ratios))


def perplexities(n_seeds, quick):
    """Print the perplexities over seeds."""
    found = {}
    for seed in range(n_seeds):
        for name, value in lm.main(quick=quick, seed=seed)["perplexity"].items():
            found.setdefault(name, []).append(value)
    print(f"perplexity of the test files, median and range of {n_seeds} seeds")
    for name, values in found.items():
        print(f"  {name:<33}{statistics.median(values):6.1f} ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {options.threads} thread(s)")
    times(options.quick, options.threads)
    perplexities(options.seeds, options.quick)
