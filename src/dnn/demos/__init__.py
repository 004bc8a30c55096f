"""Demonstrations, run by ``python -m dnn demo``."""
