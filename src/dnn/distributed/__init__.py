"""Training on several processes or machines, in rounds: see `dnn.distributed.rounds`."""
