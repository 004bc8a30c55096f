"""How the outputs of an actor become actions: a choice of one of several, or a number, drawn at random.

Both kinds have the same methods, so that one learner serves bodies of either kind. The gradient of a
logarithm of a probability is what all policy gradients need (Williams 1992, Machine Learning 8, p. 229).
"""

import numpy as np


class Categorical:
    """One of several actions; the outputs of the actor are the logits of their probabilities.

    Examples
    --------
    >>> log_p, d_log_p = Categorical(2).log_prob(np.array([1]), np.array([[0.0, 0.0]]))
    >>> np.exp(log_p).tolist(), d_log_p.tolist()
    ([0.5], [[-0.5, 0.5]])
    """

    def __init__(self, n_actions):
        self.n_outputs = n_actions

    def sample(self, logits, rng):
        """Return drawn actions (n,): the largest of logits with Gumbel noise is a draw from their softmax."""
        return np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)

    def best(self, logits):
        """Return the most probable actions (n,)."""
        return np.argmax(logits, axis=1)

    def log_prob(self, action, logits):
        """Return the log-probabilities (n,) of actions (n,), and their gradients (n, n_outputs)."""
        log_p = logits - logits.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        chosen = np.arange(self.n_outputs) == action[:, None]
        return log_p[chosen], chosen - np.exp(log_p)


class Gaussian:
    """A number with a normal distribution; the outputs of the actor are mean and log standard deviation.

    Examples
    --------
    >>> log_p, d_log_p = Gaussian().log_prob(np.array([2.0]), np.array([[1.0, 0.0]]))
    >>> log_p.round(3).tolist(), d_log_p.tolist()
    ([-1.419], [[1.0, 0.0]])
    """

    n_outputs = 2

    def sample(self, outputs, rng):
        """Return drawn actions (n,)."""
        mean, log_std = outputs.T
        return mean + np.exp(log_std) * rng.standard_normal(len(mean))

    def best(self, outputs):
        """Return the means (n,)."""
        return outputs[:, 0]

    def log_prob(self, action, outputs):
        """Return the logarithms (n,) of the densities at actions (n,), and their gradients (n, 2)."""
        mean, log_std = outputs.T
        z = (action - mean) / np.exp(log_std)
        return -0.5 * (z**2 + np.log(2 * np.pi)) - log_std, np.column_stack([z / np.exp(log_std), z**2 - 1])
