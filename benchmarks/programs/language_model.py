"""The model of examples/language_model.py at full size, and its training steps beside PyTorch.

The steps of dnn and of PyTorch (nn.Embedding, Linear, Tanh, Dropout, Linear, cross entropy, fused Adam), of
the same sizes, batches and precision, are timed alternately. Then the program runs at full size, each seed
with another division of the files, and medians and ranges of the perplexities are printed.

    python benchmarks/programs/language_model.py [--quick] [--threads 1] [--seeds 1]
"""

import statistics

import side_by_side

options = side_by_side.options(__doc__, "the quick program, and fewer steps", seeds=1)

import language_model as lm  # noqa: E402
import numpy as np  # noqa: E402

SIZE, HIDDEN = 100, 256


def with_dnn(grams, n_words):
    """Return a function that trains for an epoch."""
    rng = np.random.default_rng(0)
    model = lm.NeuralModel(n_words, SIZE, HIDDEN, rng)
    return lambda: model.train(grams, 1, rng)


def with_torch(grams, n_words):
    """Return the same for PyTorch."""
    import torch
    from torch import nn

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


def times(quick):
    """Print the time of a step; the epochs of both libraries, of a part of the text, alternate."""
    rng = np.random.default_rng(0)
    vocabulary, train, _ = lm.corpus(lm.files_of(["numpy", "scipy"]), 4000, rng)
    grams = lm.windows(train, lm.CONTEXT + 1)[: (20 if quick else 200) * lm.BATCH_SIZE]
    contenders = {"dnn": with_dnn(grams, len(vocabulary))}
    if side_by_side.pytorch():
        contenders["PyTorch"] = with_torch(grams, len(vocabulary))
    medians = side_by_side.in_turns(contenders, 2 if quick else 7, warm_up=True)
    side_by_side.print_times(medians, f"{len(grams) // lm.BATCH_SIZE} steps of {lm.BATCH_SIZE} words")


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
    print(side_by_side.machine())
    times(options.quick)
    perplexities(options.seeds, options.quick)
