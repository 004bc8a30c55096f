"""How well does examples/rbm.py learn, and how long does a training take beside scikit-learn and PyTorch?

Prints the time of ten passes over 7,188 digits with 100 hidden units, all libraries in turn, for batches of
10 and of 100 rows, in float32; then the figures of the full program over several seeds, the pseudo-likelihood
of scikit-learn's training, and the accuracy if all copies of a digit are kept in the same part of the data.

    python benchmarks/programs/rbm.py [--quick] [--seeds 5] [--threads 1]
"""

import side_by_side  # finds the examples

PASSES = 10


def torch_training(X, batch, rate, seed, n_hidden):
    """Train by persistent contrastive divergence in PyTorch, as its users would, and return the weights."""
    import torch

    torch.manual_seed(seed)
    X = torch.from_numpy(X)
    W = 0.01 * torch.randn(n_hidden, X.shape[1])
    b, c = torch.zeros(X.shape[1]), torch.zeros(n_hidden)
    h = torch.zeros(batch, n_hidden)
    with torch.inference_mode():
        for _ in range(PASSES):
            for v in X.split(batch):
                p_data = torch.addmm(c, v, W.T).sigmoid_()
                v_chain = torch.addmm(b, h[: len(v)], W).sigmoid_().bernoulli_()
                p_chain = torch.addmm(c, v_chain, W.T).sigmoid_()
                W.addmm_(p_data.T, v, alpha=rate / len(v)).addmm_(p_chain.T, v_chain, alpha=-rate / len(v))
                c.add_(p_data.sum(0) - p_chain.sum(0), alpha=rate / len(v))
                b.add_(v.sum(0) - v_chain.sum(0), alpha=rate / len(v))
                torch.bernoulli(p_chain, out=h[: len(v)])
    return W, c, b


def measure_times(rounds):
    """Print the time of a training in each library."""
    import numpy as np
    import rbm

    from dnn import BernoulliRBM

    X = rbm.digits(np.random.default_rng(0))[0]
    for batch in (10, 100):
        options = {"learning_rate": rbm.RATE, "n_iter": PASSES, "batch_size": batch, "random_state": 0}
        n_hidden = rbm.N_HIDDEN
        contenders = {"dnn": lambda o=options, n=n_hidden: BernoulliRBM(n, **o).fit(X)}
        if side_by_side.pytorch():
            contenders["PyTorch"] = lambda b=batch, n=n_hidden: torch_training(X, b, rbm.RATE, 0, n)
        try:
            from sklearn.neural_network import BernoulliRBM as Sklearn

            contenders["scikit-learn"] = lambda o=options, n=n_hidden: Sklearn(n, **o).fit(X)
        except ImportError:
            print("scikit-learn is not installed")
        side_by_side.print_times(
            side_by_side.in_turns(contenders, rounds), f"{PASSES} passes, batches of {batch}"
        )


def measure_figures(quick, n_seeds):
    """Print the figures of the program over several seeds."""
    import rbm

    runs = [rbm.main(quick, seed) for seed in range(n_seeds)]
    first = runs[0]["passes"].index(PASSES)
    print(f"the {'quick' if quick else 'full'} program: medians and ranges")
    side_by_side.print_range("accuracy, pixels", [run["pixels"] for run in runs])
    side_by_side.print_range("accuracy, features", [run["features"] for run in runs])
    side_by_side.print_range("a test digit to the nearest", [run["nearest"] for run in runs])
    for name in ("PCD", "CD1"):
        likelihood = [run[name]["likelihood"][first] for run in runs]
        side_by_side.print_range(f"{name}, pseudo-likelihood", likelihood)
        side_by_side.print_range(f"{name}, reconstruction", [run[name]["error"][-1] for run in runs])
        side_by_side.print_range(f"{name}, dream to nearest", [run[name]["distance"][-1] for run in runs])
    measure_variants(1 if quick else min(n_seeds, 3), 2 if quick else 200)


def measure_variants(n_seeds, n_iter):
    """Print figures of trainings that differ from the program's in one thing."""
    import numpy as np
    import rbm
    from sklearn.neural_network import BernoulliRBM as Sklearn

    from dnn import BernoulliRBM, MLPClassifier

    figures = {}

    def add(name, value):
        figures.setdefault(name, []).append(value)

    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        X, y, X_test, y_test = rbm.digits(rng)
        options = {"learning_rate": rbm.RATE, "n_iter": PASSES, "random_state": seed}
        sklearn = Sklearn(rbm.N_HIDDEN, **options).fit(X)
        add("scikit-learn, pseudo-likelihood", rbm.pseudo_likelihood(sklearn, X))
        scores = BernoulliRBM(rbm.N_HIDDEN, **options).fit(X).score_samples(X)
        add("score_samples, standard error", scores.std() / len(X) ** 0.5)
        labeled = MLPClassifier((rbm.N_HIDDEN,), max_iter=60, random_state=seed).fit(X, y)
        add("with labels, accuracy", labeled.score(X_test, y_test))
        for name, n_steps, n_last in (
            ("3 Gibbs steps", 3, 0),
            ("last passes with rate / 10", 1, n_iter // 5),
        ):
            model = BernoulliRBM(rbm.N_HIDDEN, **{**options, "n_iter": n_iter - n_last, "n_steps": n_steps})
            model.fit(X).set_params(learning_rate=rbm.RATE / 10)
            for _ in range(n_last):
                model.partial_fit(X)
            add(f"{name}, dream", rbm.distance(rbm.dream(model, 500, 1000, rng), X))
            add(f"{name}, error", ((X_test - rbm.expected_pixels(model, X_test)) ** 2).sum(axis=1).mean())
        X, y, X_test, y_test = rbm.digits(np.random.default_rng(seed), apart=True)
        model = BernoulliRBM(rbm.N_HIDDEN, **options).fit(X)
        add("copies apart, pixels", rbm.accuracy(X, y, X_test, y_test, 500, 1000))
        features, test_features = model.transform(X), model.transform(X_test)
        add("copies apart, features", rbm.accuracy(features, y, test_features, y_test, 6000, 1000))
    print("variants")
    for name, values in figures.items():
        side_by_side.print_range(name, values)


def main():
    given = side_by_side.options(__doc__, "one seed of the quick program, three rounds", seeds=5)
    print(side_by_side.machine())
    measure_times(3 if given.quick else 5)
    measure_figures(given.quick, 1 if given.quick else given.seeds)


if __name__ == "__main__":
    main()
