"""What workers of a search import: an estimator that ends its process once, and a process of a study."""

import os
import signal
import sys
from pathlib import Path

from dnn import MLPClassifier, Network


class DiesOnce(MLPClassifier):
    """A classifier whose first `fit` ends its process, in the way the system ends one for want of memory."""

    def __init__(self, marker="", hidden_layer_sizes=(100,), max_iter=200, random_state=None, alpha=1e-4):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes, max_iter=max_iter, random_state=random_state, alpha=alpha
        )
        self.marker = marker

    def fit(self, X, y):
        die_once(self.marker)
        return super().fit(X, y)


def die_once(marker):
    """End this process, unless one has been ended before."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def candidates():
    """Return the candidates of the study, which are drawn before it begins."""
    return [{"units": units, "rate": rate} for units in (4, 8, 16) for rate in (1e-3, 1e-2)]


def objective(trial):
    """Return the last loss of a network on the digits, whose seed belongs to the candidate."""
    from sklearn.datasets import load_digits

    from dnn import Adam

    number = trial.user_attrs["candidate"]
    units = trial.suggest_int("units", 4, 16)
    rate = trial.suggest_float("rate", 1e-3, 1e-2)
    if number == 1 and len(sys.argv) > 3:
        die_once(sys.argv[3])
    X, y = load_digits(return_X_y=True)
    net = Network([64, units, 10], output="softmax", random_state=number)
    trial.set_user_attr("process", os.getpid())
    return net.fit(X[:500] / 16, y[:500], epochs=5, optimizer=Adam(rate)).loss[-1]


def open_storage(path):
    """Return a storage in a file that several processes may use at once."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


if __name__ == "__main__":  # journal, number of trials, marker of the worker that dies
    import optuna

    study = optuna.load_study(study_name="digits", storage=open_storage(sys.argv[1]))
    study.optimize(objective, n_trials=int(sys.argv[2]))
