"""Feedback alignment on all of MNIST: the figures over seeds, and an epoch beside PyTorch.

PyTorch's program has a linear layer whose backward pass sends the error through B, which is how its users
write it; the network, the batches, the optimizer, the precision and the number of threads are the same.

Run it: ``python benchmarks/programs/feedback_alignment.py [--quick] [--threads 1]`` (about two minutes).
"""

import side_by_side

options = side_by_side.options(__doc__, "one seed, one round, a tenth of the pictures")

import feedback_alignment as program  # noqa: E402
from mnist import mnist  # noqa: E402


def figures(data, n_epochs, seeds):
    """Print the errors of all rules at one hidden layer, and of two rules at four hidden layers."""
    print(f"wrong test pictures in percent after {n_epochs} epochs")
    for n_layers, rules in ((1, program.RULES), (4, program.RULES[:2])):
        learned = {
            rule: [program.learn(rule, n_layers, data, n_epochs, seed, 2) for seed in seeds] for rule in rules
        }
        for rule, runs in learned.items():
            side_by_side.print_range(f"{rule}, {n_layers} hidden", (errors[-1] for errors, _ in runs), " %")
        both = [[errors[-1] for errors, _ in learned[rule]] for rule in program.RULES[:2]]
        side_by_side.print_range("difference", (fa - bp for bp, fa in zip(*both, strict=True)), " points")
        last = [records[-1] for _, records in learned["feedback alignment"]]
        side_by_side.print_range("last angle of the gradients", (angle for _, angle, _ in last), " degrees")
        side_by_side.print_range("last angle of W and B", (angle for _, _, angle in last), " degrees")


def pytorch_epoch(torch, X, y):
    """Return a function that trains 784-128-10 by feedback alignment for one epoch in PyTorch."""

    class Feedback(torch.autograd.Function):
        @staticmethod
        def forward(ctx, H, W, b, B):
            ctx.save_for_backward(H, B)
            return torch.addmm(b, H, W)

        @staticmethod
        def backward(ctx, d_logits):
            H, B = ctx.saved_tensors
            return d_logits @ B.T, H.T @ d_logits, d_logits.sum(0), None

    torch.manual_seed(0)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    hidden = torch.nn.Linear(784, program.N_HIDDEN)
    W, B = ((torch.rand(program.N_HIDDEN, 10) * 2 - 1) * (6 / 138) ** 0.5 for _ in range(2))
    W, b = torch.nn.Parameter(W), torch.nn.Parameter(torch.zeros(10))
    sgd = torch.optim.SGD([*hidden.parameters(), W, b], program.RATE, momentum=program.MOMENTUM)

    def epoch():
        for rows in torch.randperm(len(X)).split(program.BATCH_SIZE):
            logits = Feedback.apply(torch.tanh(hidden(X[rows])), W, b, B)
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(logits, y[rows]).backward()
            sgd.step()

    return epoch


def main():
    print(side_by_side.machine())
    data = mnist(6000, 10_000) if options.quick else mnist()
    figures(data, 2 if options.quick else 10, range(1 if options.quick else 5))
    X, y, X_test, y_test = data
    short = X, y, X_test[:10], y_test[:10]  # what is timed is the training
    contenders = {"dnn": lambda: program.learn("feedback alignment", 1, short, 1, 0)}
    if torch := side_by_side.pytorch():
        contenders["PyTorch"] = pytorch_epoch(torch, X, y)
    side_by_side.print_times(side_by_side.in_turns(contenders, 1 if options.quick else 9), "an epoch")


if __name__ == "__main__":
    main()
