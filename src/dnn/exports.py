"""What a network and a fitted estimator can be written as; each method imports its module when called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .interop.c_source import CSource


class Exports:
    """The methods that write a model in the forms of other libraries."""

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
