"""What a network and a fitted estimator can be written as; each method imports its module when called."""

from __future__ import annotations

import os
import sys
from typing import Any


class Exports:
    """The methods that write a model in the forms of other libraries."""

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
            Where the model is written too; an existing file is replaced.

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

        Examples
        --------
        >>> from dnn import Network
        >>> model = Network([4, 8, 3], output="softmax").to_onnx()
        >>> [node.op_type for node in model.graph.node]
        ['Gemm', 'Relu', 'Gemm', 'Softmax']
        """
        from .interop.onnx import to_onnx

        return to_onnx(self, path)  # type: ignore[arg-type]


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
