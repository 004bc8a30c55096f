"""Learning with a wrong backward pass: random fixed feedback weights against backpropagation.

Backpropagation carries the error back through the transposed weights of the forward pass, which a brain can
hardly do, because one synapse would have to know the strength of another. Feedback alignment sends the error
through fixed random weights B instead, and the network learns nevertheless: its forward weights turn towards
B, until the error that arrives points roughly the right way (Lillicrap, Cownden, Tweed and Akerman 2016,
Nature Communications 7:13276, figure 1: B e in place of W^T e). Two controls show why: "redrawn feedback"
sends the error through a new random B in every step, and "output layer only" leaves the hidden layer as it
was drawn. More hidden layers show where the method ends.

Run it: ``dnn demo feedback_alignment``, or ``python examples/feedback_alignment.py``. It needs MNIST in the
folder that DNN_DATA names, and takes about 30 seconds.
"""

import numpy as np
from mnist import mnist
from scipy.special import softmax

from dnn import SGD, Network

RULES = ("backpropagation", "feedback alignment", "redrawn feedback", "output layer only")
N_HIDDEN, BATCH_SIZE, RATE, MOMENTUM = 128, 64, 0.02, 0.9


def backward_through(net, feedback, cache, d_logits):
    """Return the gradient (P,) if the error flows back through other weights than those of the network.

    The backward pass of layer l uses W[l] for one purpose: dA[l-1] = dZ[l] @ W[l].T. So `backward` with B[l]
    in that place is feedback alignment, and with W[l] itself it is backpropagation. The first layer has no
    feedback weights, because nothing before it learns.
    """
    W_forward = [W.copy() for W in net.weights[1:]]
    for W, B in zip(net.weights[1:], feedback, strict=True):
        W[:] = B
    grad, _ = net.backward(cache, d_logits, wrt="params")
    for W, saved in zip(net.weights[1:], W_forward, strict=True):
        W[:] = saved
    return grad


def random_feedback(net, rng):
    """Return fresh B[l] of the shapes and sizes of the first W[l], so that errors keep their size."""
    return [np.sqrt(6 / sum(W.shape)) * rng.uniform(-1, 1, W.shape) for W in net.weights[1:]]


def angle(a, b):
    """Return the angle between two arrays of one shape in degrees: 0 if parallel, 90 if unrelated."""
    cosine = np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def error_rate(net, X, y):
    """Return the percentage of pictures that are taken for another digit."""
    return 100 * np.mean(net(X).argmax(axis=1) != y)


def learn(rule, n_layers, data, n_epochs, seed, n_records=1):
    """Train a network with n_layers hidden layers by one of the RULES.

    With equal seeds, all rules begin with the same weights and see the same batches.

    Returns
    -------
    errors : ndarray (n_epochs + 1,)
        Percentage of wrong test pictures before training and after each epoch.
    records : ndarray (about n_records, 3)
        Step; angle between the gradient of W[0] that the rule computes and the true one; angle between the
        output weights W and their feedback weights B. The steps are about a geometric series.
    """
    X, y, X_test, y_test = data
    rng = np.random.default_rng(seed)
    net = Network([784, *[N_HIDDEN] * n_layers, 10], activation="tanh", output="softmax", random_state=rng)
    learns_by_W = rule in ("backpropagation", "output layer only")
    feedback = net.weights[1:] if learns_by_W else random_feedback(net, rng)
    if rule == "output layer only":
        net.freeze(*range(n_layers))
    sgd = net.optimizer(SGD(RATE, momentum=MOMENTUM))
    targets = np.eye(10, dtype=net.dtype)[y]

    def gradient(feedback, rows):
        """Return the gradient of the mean log loss of these pictures, sent back through the feedback."""
        logits, cache = net.forward(X[rows], logits=True)
        return backward_through(net, feedback, cache, (softmax(logits, axis=1) - targets[rows]) / len(logits))

    orders = np.random.default_rng(seed)  # the same for all rules, however many numbers a rule draws
    steps_per_epoch = len(X) // BATCH_SIZE
    recorded = set(np.geomspace(1, n_epochs * steps_per_epoch, n_records).astype(int))
    errors, records = [error_rate(net, X_test, y_test)], []
    for epoch in range(n_epochs):
        order = orders.permutation(len(X))
        for i in range(steps_per_epoch):
            if rule == "redrawn feedback":
                feedback = random_feedback(net, rng)
            if (step := epoch * steps_per_epoch + i + 1) in recorded:
                probe, n = slice(1000), net.weights[0].size  # the gradient begins with that of W[0]
                used, true = gradient(feedback, probe)[:n], gradient(net.weights[1:], probe)[:n]
                records.append((step, angle(used, true), angle(feedback[-1], net.weights[-1])))
            sgd.step(gradient(feedback, order[i * BATCH_SIZE : (i + 1) * BATCH_SIZE]))
        errors.append(error_rate(net, X_test, y_test))
    return np.array(errors), np.array(records)


def main(quick=True, seed=0):
    """Train 784-128-10 by the four rules, and deeper networks by two of them.

    Parameters
    ----------
    quick : bool, default True
        True: 5 epochs on 5,000 pictures, 2,000 test pictures, depths 1 and 3. False: 10 epochs on all
        of MNIST, and depths 1 to 4.
    seed : int, default 0

    Returns
    -------
    dict
        errors: percentage of wrong test pictures before training and after each epoch, for each rule;
        records: step, angle of the gradients, angle of the weights, for the rules with random feedback;
        depths: numbers of hidden layers; by_depth (2, n_depths): the last errors of backpropagation and of
        feedback alignment.
    """
    data = mnist(5000, 2000) if quick else mnist()
    n_epochs, depths, n_records = (5, (1, 3), 10) if quick else (10, (1, 2, 3, 4), 50)
    learned = {rule: learn(rule, 1, data, n_epochs, seed, n_records) for rule in RULES}
    by_depth = [[learn(r, n, data, n_epochs, seed)[0][-1] for n in depths[1:]] for r in RULES[:2]]
    errors = {rule: e for rule, (e, _) in learned.items()}
    by_depth = np.column_stack([[errors[rule][-1] for rule in RULES[:2]], by_depth])
    records = {rule: r for rule, (_, r) in learned.items() if rule in RULES[1:3]}
    return dict(errors=errors, records=records, depths=depths, by_depth=by_depth)


def tell(found):
    """Return the results as a small table and two sentences."""
    lines = [f"Wrong test pictures of 784-{N_HIDDEN}-10:"]
    lines += [f"  {rule:20} {errors[-1]:5.2f} %" for rule, errors in found["errors"].items()]
    (_, first, _), (_, last, _) = found["records"]["feedback alignment"][[0, -1]]
    lines.append(
        f"The gradient of feedback alignment begins {first:.0f} degrees off and ends {last:.0f} off."
    )
    lines.append("Backpropagation against feedback alignment by the number of hidden layers:")
    for n, (bp, fa) in zip(found["depths"], found["by_depth"].T, strict=True):
        lines.append(f"  {n}: {bp:5.2f} % against {fa:5.2f} %")
    return "\n".join(lines)


def draw(found):
    """Return a figure: errors by epoch, angles by step, and errors by depth."""
    from matplotlib.figure import Figure

    colors = dict(zip(RULES, ("#0072b2", "#d55e00", "#777777", "#009e73"), strict=True))
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for rule, errors in found["errors"].items():
        left.semilogy(range(1, len(errors)), errors[1:], color=colors[rule], label=rule)
    left.set(xlabel="epoch", ylabel="wrong test pictures, %", title="A wrong way back learns", ylim=(1, 100))
    left.set_xticks(range(0, len(errors), 2))
    left.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    records = found["records"]["feedback alignment"]
    for rule, (steps, gradients, _) in ((rule, r.T) for rule, r in found["records"].items()):
        middle.semilogx(steps, gradients, color=colors[rule])
    middle.semilogx(records[:, 0], records[:, 2], ":", color=colors["feedback alignment"])
    middle.text(
        0.05, 0.22, "lines: to the true gradient\ndots: W to B", transform=middle.transAxes, fontsize=8
    )
    middle.set(xlabel="step", ylabel="angle, degrees", ylim=(0, 110), title="because W turns to B")
    for rule, errors in zip(RULES, found["by_depth"], strict=False):
        right.plot(found["depths"], errors, "o-", color=colors[rule])
    right.set(xlabel="hidden layers", ylabel="wrong test pictures, %", title="but depth does not help it")
    right.set(xticks=found["depths"], ylim=(0, 1.1 * found["by_depth"].max()))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-feedback_alignment.png", dpi=150)
