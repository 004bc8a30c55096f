"""What a network and a fitted estimator can be written as; each method imports its module when called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .files import save

if TYPE_CHECKING:
    from .interop.c_source import CSource


class Exports:
    """The methods that write a model to a file of dnn, and in the forms of other libraries."""

    save = save

    def to_c(self, path: str | os.PathLike[str], *, name: str | None = None, verify: bool = True) -> CSource:
        """Write the model as C source: one C99 file and its header, which need nothing but libm.

        Both are C++ too. Nothing is allocated; the weights are constants, and the functions may be called by
        many threads at once. Values are float for a float32 network, and double for a float64 one. With the
        name "pole" the header declares:

        ``void pole_predict(const float *x, float *y)``
            From ``POLE_N_INPUTS`` inputs to ``POLE_N_OUTPUTS`` outputs: those of a network; what `predict` of
            a regressor returns, quantiles in rising order; what `predict_proba` of a classifier returns.
        ``int pole_classify(const float *x)``
            Of a classifier, except for several labels at once: the index of the class.
        ``const char *const pole_classes[POLE_N_OUTPUTS]``
            Of such a classifier: its labels as strings in UTF-8, unless they are 0, 1, 2, ...

        Parameters
        ----------
        path : path
            Of the source, with the suffix .c; the header is beside it. Existing files are replaced.
        name : str, default None
            What the functions' names begin with, a C identifier. None: the file name.
        verify : bool, default True
            If there is a C compiler (CC, cc, gcc or clang), compile the source, run it on 64 random rows, and
            compare what it gives with Python, before anything is written. It takes as long as the compiler
            takes: a tenth of a second, or ten seconds for 10 MB of weights.

        Returns
        -------
        CSource
            The paths, and whether the source is ``verified``: False without a compiler.

        Raises
        ------
        ValueError, TypeError
            For another suffix, a name that is no C identifier, weights that are not finite.
        FileNotFoundError
            If the folder does not exist.
        RuntimeError
            If the source does not compile, or gives other outputs than Python.

        Examples
        --------
        >>> import tempfile
        >>> from dnn import Network
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = Network([4, 8, 2], random_state=0).to_c(f"{folder}/pole.c", verify=False)
        ...     print(written.header.read_text().splitlines()[0])
        /* pole.h: a dense network of layers 4-8-2, written by dnn 0.1.0.
        """
        from .interop.c_source import to_c

        return to_c(self, path, name, verify)

    def to_onnx(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Return the model as an ONNX graph, which ONNX Runtime and others run without Python and dnn.

        The input is ``X`` (N, n_features), in the precision of the network; N may be any number. A network
        has one output, ``outputs`` (N, O), and so has a regressor, ``variable`` (N, O). A classifier has
        ``label`` (N,), int64 or string, and ``probabilities`` (N, n_classes): what skl2onnx gives without
        ZipMap. With several labels at once ``label`` is (N, n_classes), 0 or 1. Labels that are bools, or
        floats, are int64. The names of features and classes are in ``metadata_props``, as lists in JSON.

        Parameters
        ----------
        path : path, default None
            Where the model is written too, as a whole or not at all; a file that is there is replaced.

        Returns
        -------
        onnx.ModelProto
            Of opset 17, which ONNX Runtime reads since its release 1.12.

        Raises
        ------
        ImportError
            Without the package onnx: ``pip install 'dnn-core[onnx]'``.
        ValueError
            For labels that are neither strings nor whole numbers, or more than 2 GB of parameters.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> from dnn import Network
        >>> model = Network([4, 8, 3], output="softmax").to_onnx()
        >>> [node.op_type for node in model.graph.node]
        ['Gemm', 'Relu', 'Gemm', 'Softmax']
        """
        from .interop.onnx import to_onnx

        return to_onnx(self, path)  # type: ignore[arg-type]

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


class EstimatorExports(Exports):
    """The same of estimators, which skl2onnx converts too, alone and in pipelines."""

    def _meet_skl2onnx(self) -> None:
        """Register our converters where skl2onnx is imported, which takes seconds and is not done for it."""
        if sys.modules.get("skl2onnx") is not None:
            from .interop.onnx import register

            register()

    def onnx_parser(self) -> None:
        """Do nothing: skl2onnx calls it, and it is the last chance to register.

        Raises
        ------
        RuntimeError
            If our converters were not registered. It is too late for this conversion, but not for the next.
        """
        from .interop.onnx import register

        if register():
            raise RuntimeError(
                f"skl2onnx was imported after this {type(self).__name__} was fitted, and its converter is "
                "registered only now: convert it again, or call register from dnn.interop.onnx first"
            )
