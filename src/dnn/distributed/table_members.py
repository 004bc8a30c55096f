"""The members of a table estimator, trained in rounds on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._optional import need
from ..estimators.tables.base import CLOSE
from ..estimators.tables.knots import Knots
from ..estimators.tables.members import Recipe
from ..network import Network
from ..optimizers import AdamW
from ..schedules import Cosine
from ..training.history import DivergedError, History
from ..training.many import run_many
from ..training.stopping import stop_requested
from . import rounds
from .dask import Workers, _large_graphs
from .local import LocalTraining
from .rounds import Nesterov, RoundHistory
from .table_shards import held_out_logits, score_of_member, seen_by, together, unseen_by

AT_ONCE = 2  # members that are trained at the same time


class Member(NamedTuple):
    """A trained network, what happened, and the logits, targets and weights of rows that it has not seen."""

    net: Network
    history: History
    fold: int
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray | None]

    @property
    def best(self) -> float:
        """The score of its best round."""
        best = self.history.best_epoch
        return np.inf if best is None else self.history.val_loss[best]


class Members:
    """Trains the members, some at the same time, so that workers need not wait for the rounds of one of them.

    Parameters
    ----------
    local : TableClassifier or TableRegressor
        It knows the target, and is sent with each validation.
    engine : Workers
    shards : list
        Futures of `Shard`.
    recipe : Recipe
    rounds_per_epoch, outer
        See `dnn.distributed.rounds.fit`.
    knots : Knots
        The change of the second kind of inputs.
    """

    def __init__(
        self, local: Any, engine: Workers, shards: list[Any], recipe: Recipe, rounds_per_epoch: int,
        outer: Nesterov | None, knots: Knots,
    ) -> None:  # fmt: skip
        self.local = local
        self.engine = engine
        self.shards = shards
        self.recipe = recipe
        self.rounds_per_epoch = rounds_per_epoch
        self.outer = outer
        self.knots = knots

    def train(self, folds: list[int], seeds: list[int]) -> list[Member]:
        """Return members. The m-th of them that is trained on a kind of inputs has the m-th fold and seed.

        Half of them have each kind of inputs; where one kind is worse, they are replaced by others of the
        better kind.
        """
        bar = None
        if self.local.progress:
            bar = need("tqdm.auto", "progress=True", "all").tqdm(total=len(folds), unit="network")
        trained: dict[tuple[int, int], Member] = {}

        def job(number: int, kind: int) -> Callable[[int], None]:
            def run(n_threads: int) -> None:
                trained[number, kind] = self._member(folds[number], seeds[number], kind)
                if bar is not None:
                    bar.update()

            return run

        def train(pairs: list[tuple[int, int]]) -> None:
            run_many([job(*pair) for pair in pairs if pair not in trained], AT_ONCE)

        n = len(folds)
        pairs = [(number, 0) for number in range(n)]
        # Set here, as two threads that set and restore it in turn would leave it changed
        with _large_graphs():
            try:
                if len(self.knots.bins):
                    pairs = [divmod(number, 2) for number in range(max(n, 2))]
                    train(pairs)
                    paired = range(len(pairs) // 2)
                    best = [float(np.mean([trained[m, kind].best for m in paired])) for kind in (0, 1)]
                    close = abs(best[1] - best[0]) <= CLOSE * abs(min(best))
                    kept = (0, 1) if close and n > 1 else (int(np.argmin(best)),)
                    pairs = [pair for pair in pairs if pair[1] in kept]
                    pairs += [(number, kept[0]) for number in range(len(pairs), n)]
                train(pairs)
            finally:
                if bar is not None:
                    bar.close()
        return [trained[pair] for pair in pairs]

    def _member(self, fold: int, seed: int, kind: int) -> Member:
        """Return a member with the weights of its best round."""
        recipe, client = self.recipe, self.engine.client
        delayed = need("dask", "dnn.distributed.dask", "dask").delayed
        seen, unseen = (delayed(part, pure=False) for part in (seen_by, unseen_by))
        held_out = client.compute(
            delayed(together, pure=False)([unseen(shard, fold, kind) for shard in self.shards])
        )
        sizes = [self.knots.n_outputs if kind else self.knots.n_inputs, *recipe.hidden, recipe.n_outputs]
        for attempt in range(3):
            net = Network(
                sizes, activation=recipe.activation, output=recipe.output,
                dropout=[0.0, *[recipe.dropout] * len(recipe.hidden)], random_state=seed,
            )  # fmt: skip
            rate = Cosine(recipe.rate / 4**attempt, recipe.epochs)
            training = LocalTraining.of(
                net, loss=self.local._loss(), batch_size=recipe.batch,
                optimizer=AdamW(rate, beta2=recipe.beta2, weight_decay=recipe.weight_decay),
            )  # fmt: skip
            best = BestRound(self, training, held_out)
            engine = Workers(client, timeout=self.engine.timeout)  # which keeps the rows of this member only
            try:
                history = rounds.train(
                    net, training, [seen(shard, fold, kind) for shard in self.shards], recipe.epochs,
                    self.rounds_per_epoch, self.outer, engine, (), seed,
                    {"patience": None, "callbacks": (best,)},
                )  # fmt: skip
                break
            except DivergedError:
                if attempt == 2:
                    raise
            finally:
                engine.release()
        best.end(net)
        found = result_of(
            self.engine, client.submit(held_out_logits, held_out, training, net.params, pure=False)
        )
        return Member(self.knots.network(net) if kind else net, best.history(history), fold, found)


class BestRound:
    """A callback that keeps the weights of the best round, and ends a training that has become no better.

    Parameters
    ----------
    members : Members
    training : LocalTraining
    held_out : future of Shard
    """

    def __init__(self, members: Members, training: LocalTraining, held_out: Any) -> None:
        self.members = members
        self.training = training
        self.held_out = held_out
        self.scores: list[float] = []
        self.best: int | None = None
        self.params: np.ndarray | None = None
        patience = members.recipe.patience
        self.patience = None if patience is None else patience * members.rounds_per_epoch

    def __call__(self, event: Any) -> None:
        """Look at the weights after a round."""
        if stop_requested.get()():  # another member has failed, or Ctrl-C
            event.stop()
            return
        engine, net = self.members.engine, event.net
        score = result_of(
            engine,
            engine.client.submit(
                score_of_member, self.held_out, self.training, self.members.local, net.params, pure=False
            ),
        )
        self.scores.append(score)
        if np.isfinite(score) and (self.best is None or score < self.scores[self.best]):
            self.best, self.params = len(self.scores) - 1, net.params.copy()
        n_stale = 0 if self.best is None else len(self.scores) - 1 - self.best
        if self.patience is not None and n_stale >= self.patience:
            event.stop()

    def end(self, net: Network) -> None:
        """Put the best weights in place."""
        if self.params is not None:
            net.params[:] = self.params

    def history(self, history: RoundHistory) -> History:
        """Return the history of the member as its file has it."""
        stopped_by = "patience" if history.stopped_by == "callback" else history.stopped_by
        return History(
            history.loss_name, loss=history.loss, val_loss=self.scores, rate=history.rate,
            seconds=history.seconds, best_epoch=self.best, stopped_by=stopped_by,
        )  # fmt: skip


def held_out_of(members: list[Member]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return logits, targets and weights of rows; where several members have not seen a row, their mean."""
    of_folds: dict[int, list[Member]] = {}
    for member in members:
        of_folds.setdefault(member.fold, []).append(member)
    groups = list(of_folds.values())
    logits = np.concatenate([np.mean([member.held_out[0] for member in group], axis=0) for group in groups])
    weights = [group[0].held_out[2] for group in groups]
    return (
        logits, np.concatenate([group[0].held_out[1] for group in groups]),
        None if weights[0] is None else np.concatenate([w for w in weights if w is not None]),
    )  # fmt: skip


def result_of(engine: Workers, future: Any) -> Any:
    """Return the result of a future, or raise what became of it."""
    engine.wait([future])
    return future.result(timeout=engine.timeout)
