"""Inspection of networks: drawings, plots, checks and explanations of gradients, the rate finder."""
