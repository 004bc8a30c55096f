"""Validation and conversion of inputs: arrays, sparse rows, memory maps."""
