"""The training loop: the problem, its options, history, stopping, L-BFGS and the diagnosis of failures."""
