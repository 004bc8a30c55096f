"""Validation and conversion of what a caller hands in: arrays, sparse rows, memory maps."""
