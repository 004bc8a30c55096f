"""Estimators with scikit-learn's interface, which need scikit-learn."""
