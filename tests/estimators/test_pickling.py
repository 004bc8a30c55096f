"""Pickles and copies of fitted estimators predict the same values and continue training."""

import pickle

import numpy as np
import pytest
from training_warnings import quietly

import dnn
from dnn import MLPClassifier


@pytest.mark.parametrize(
    "options", [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"schedule": dnn.OnPlateau(0.01)}], ids=str
)
def test_pickles_predict_the_same_bits_and_continue_training(options, iris, tmp_path):
    import copy

    import joblib

    X, y = iris
    est = quietly(MLPClassifier(5, max_iter=5, random_state=0, **options), X, y)
    est.coefs_[0] = est.coefs_[0] + 0.01
    joblib.dump(est, tmp_path / "est")
    copies = [
        pickle.loads(pickle.dumps(est)),
        joblib.load(tmp_path / "est"),
        joblib.load(tmp_path / "est", mmap_mode="r"),
        copy.deepcopy(est),
    ]
    for twin in copies:
        np.testing.assert_array_equal(twin.predict_proba(X), est.predict_proba(X))
        twin.coefs_[0][:] += 1
        assert (twin.predict_proba(X) != est.predict_proba(X)).any()
    if hasattr(est, "partial_fit"):
        twin = pickle.loads(pickle.dumps(est))
        for each in (est, twin):
            each.partial_fit(X, y).partial_fit(X, y)
        np.testing.assert_array_equal(twin.coefs_[0], est.coefs_[0])
        assert twin.loss_curve_ == est.loss_curve_


def test_a_pickle_of_another_version_warns(iris):
    est = quietly(MLPClassifier(5, max_iter=2), *iris)
    state = est.__getstate__() | {"_dnn_version": "0.0.1"}
    with pytest.warns(UserWarning, match=r"pickled by dnn 0\.0\.1"):
        MLPClassifier.__new__(MLPClassifier).__setstate__(state)
