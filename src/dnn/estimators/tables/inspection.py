"""What a fitted table estimator tells about itself: importances, gradients, a report; and its predictor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from .importance import FeatureImportance
    from .predictor import TablePredictor


class TableInspection:
    """The methods of table estimators that explain them."""

    def feature_importance(
        self, X: Any, y: Any, *, n_repeats: int = 5, metric: str | None = None, random_state: Any = None
    ) -> FeatureImportance:
        """Return how much the predictions rely on each column: its permutation importance.

        The cells of a column are shuffled among the rows, and the metric of the predictions is compared with
        that without shuffling. Of two columns that say the same, each may look unimportant, because the other
        one is left. Use rows that `fit` has not seen: on those of `fit` a column may look important that only
        helped to learn them by heart.

        Parameters
        ----------
        X : table (n_samples, n_features)
        y : array_like (n_samples,)
        n_repeats : int, default 5
            How often each column is shuffled: few are enough to see the spread, and time is proportional.
        metric : str or None, default None
            As in the constructor; None: the metric of the estimator.
        random_state : int, RandomState or None, default None
            Shuffles the rows, in the same way for each column.

        Returns
        -------
        FeatureImportance
            ``names``, ``mean``, ``std`` and ``repeats``, sorted; ``print`` shows them as a table.

        Raises
        ------
        ValueError, TypeError
            For a table or a target that does not fit, or a metric that does not exist.

        References
        ----------
        Breiman (2001), Random forests, section 10. Fisher, Rudin and Dominici (2019), All models are wrong,
        but many are useful: learning a variable's importance by studying an entire class of prediction models
        simultaneously.

        Examples
        --------
        >>> from dnn import TableRegressor
        >>> table = {"size": np.linspace(20, 90, 80), "noise": np.random.default_rng(0).normal(size=80)}
        >>> reg = TableRegressor(n_members=1, random_state=0).fit(table, 20 * table["size"])
        >>> reg.feature_importance(table, 20 * table["size"], random_state=0).names
        ['size', 'noise']
        """
        from . import importance

        check_is_fitted(self, "members_")
        return importance.feature_importance(self, X, y, n_repeats, metric, random_state)

    def input_gradient(self, X: Any) -> np.ndarray:
        """Return how fast the prediction changes with each numeric column, at each row.

        It is the gradient of `predict` for a regressor, per unit of the column; for a classifier that of the
        logits, averaged over the members and divided by the temperature. The piecewise-linear code of numbers
        makes it a step function: it tells the slope within the bin of the value. At an edge of two bins it is
        the slope below the edge.

        Parameters
        ----------
        X : table (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_features), or (n_samples, n_classes, n_features) with more than two classes
            In the order of the columns in `fit`. NaN for categories, booleans and dates, and where a number
            is missing; 0 for columns that `fit` dropped, and where a prediction is at an end of the range of
            the targets.

        Examples
        --------
        >>> from dnn import TableRegressor
        >>> table = {"size": np.linspace(20, 90, 80), "city": ["Bern", "Basel"] * 40}
        >>> reg = TableRegressor(n_members=2, random_state=0).fit(table, 20 * table["size"])
        >>> reg.input_gradient({"size": [50.5], "city": ["Bern"]}).shape
        (1, 2)
        """
        from . import importance

        check_is_fitted(self, "members_")
        return self._scaled_gradient(X, importance.input_gradient(self, X))

    def _scaled_gradient(self, X: Any, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient of predictions from that of the mean logits."""
        raise NotImplementedError

    def predictor(self, method: str | None = None) -> TablePredictor:
        """Return a function that predicts one row, or a few, in microseconds: a snapshot of this estimator.

        Parameters
        ----------
        method : {"predict", "predict_proba"} or None, default None
            None: the probabilities of a classifier, the predictions of a regressor.

        Returns
        -------
        TablePredictor
            It takes a dict, a row of a pandas table, a 1-d array of all cells, or what `predict` takes; the
            result of one row has no axis of rows. Many threads may call it.

        Raises
        ------
        ValueError
            If the estimator has no such method.

        Examples
        --------
        >>> from dnn import TableClassifier
        >>> table = {"size": [1.0, 2.0, 3.0] * 20, "city": ["Bern", "Basel"] * 30}
        >>> clf = TableClassifier(n_members=2, random_state=0).fit(table, ["no", "no", "yes"] * 20)
        >>> predict = clf.predictor("predict")
        >>> predict({"size": 3.0, "city": "Bern"})
        'yes'
        """
        from .predictor import predictor_of

        check_is_fitted(self, "members_")
        return predictor_of(self, method)

    def report(self, path: str | Path, X: Any = None, y: Any = None) -> None:
        """Write an HTML file that shows the data, the scores, the training and the mistakes.

        All scores are of rows that their networks have not been trained on. The file needs no other file and
        no network; drawing it needs matplotlib.

        Parameters
        ----------
        path : str or Path
        X, y : table (n_samples, n_features) and array_like (n_samples,), default None
            With both, the report has the importance of each column on these rows: see `feature_importance`.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError, TypeError
            If only one of X and y is given, or they do not fit.

        Examples
        --------
        >>> from dnn import TableRegressor
        >>> import tempfile
        >>> reg = TableRegressor(n_members=1, epochs=5).fit({"size": np.arange(40.0)}, 2 * np.arange(40.0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     reg.report(f"{folder}/report.html")
        """
        from ...inspection.report import write_report

        check_is_fitted(self, "members_")
        write_report(self, Path(path), X, y)
