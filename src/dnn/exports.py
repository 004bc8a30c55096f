"""What a network and a fitted estimator can be written as; each method imports its module when called."""

from __future__ import annotations

from typing import Any


class Exports:
    """The methods that write a model in the forms of other libraries."""

    def to_torch(self) -> Any:
        """Return the model as a module of PyTorch, in evaluation mode, with its own copy of the parameters.

        It returns what the network returns, within rounding: for a classifier of two classes the probability
        of the second one, for other classifiers the probability of each class. After ``train()`` it has the
        same dropout. `from_torch` gives the same network again, bit for bit.

        Returns
        -------
        torch.nn.Sequential
            Of Linear, activations and Dropout, in the precision of the network.

        Raises
        ------
        ImportError
            Without the package torch: ``pip install 'dnn-core[torch]'``.
        ValueError
            For the activation exp, for which torch.nn has no module.

        Examples
        --------
        >>> from dnn import Network
        >>> Network([4, 8, 3], output="softmax").to_torch()  # doctest: +SKIP
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): ReLU()
          (2): Linear(in_features=8, out_features=3, bias=True)
          (3): Softmax(dim=-1)
        )
        """
        from .interop.torch import to_torch

        return to_torch(self)  # type: ignore[arg-type]
