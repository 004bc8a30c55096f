"""Random draws for generative models and policies: 0 or 1 from logits, and standard normal noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _checks as checks
from . import _core

LARGEST = 2**64 - 1
PRECISIONS = (np.dtype(np.float32), np.dtype(np.float64))


class Sampler:
    """Draws Bernoulli variables from logits and standard normal noise, the same with any number of threads.

    The generator computes each value from the seed, the number of the call, and the position of the value
    in the array. It has no other state; calls are counted by `counter`. All processors of x86-64 draw the
    same bits.

    Parameters
    ----------
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default None
        Where the seed comes from. None: from the operating system, so that each sampler differs.

    Attributes
    ----------
    seed : int
        A number of 64 bits that the draws depend on.
    counter : int
        Number of the next call, 0 at first. Set it to repeat a call.

    Notes
    -----
    A Gaussian with mean and variance is computed from the noise, which the gradient needs as well (Kingma
    and Welling 2014, section 2.4, the reparameterization trick)::

        noise = sampler.normal(mean.shape)
        z = mean + np.exp(log_var / 2) * noise
        ...                                    # d_z: the gradient of the loss with respect to z
        d_mean, d_log_var = d_z, d_z * np.exp(log_var / 2) * noise / 2

    The noise is at most 6.7 in size in float32, 8.6 in float64; a standard normal variable is larger with a
    probability of 3e-11 and 9e-18. Give each Python thread a sampler of its own. Samplers may be pickled
    and copied: a copy continues with the same draws.

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11: the generator
    Philox4x32-10.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Sampler
    >>> sampler = Sampler(random_state=0)
    >>> logits = np.full(100_000, np.log(3))  # sigmoid(log 3) = 3/4
    >>> float(sampler.bernoulli(logits).mean().round(2))
    0.75
    >>> noise = sampler.normal((10_000, 2))
    >>> noise.dtype, float(noise.std().round(1)), sampler.counter
    (dtype('float32'), 1.0, 2)
    """

    seed: int
    counter: int

    def __init__(self, random_state: Any = None) -> None:
        rng = checks.generator_of(random_state)
        self.seed = int.from_bytes(rng.bytes(8), "little")
        self.counter = 0

    def __repr__(self) -> str:
        return f"<Sampler: seed {self.seed}, counter {self.counter}>"

    def bernoulli(self, logits: Any, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return 1 with the probability sigmoid(logit), otherwise 0, for each logit.

        Parameters
        ----------
        logits : array_like of any shape
            Logits log(p / (1 - p)), infinity included. float32 and float64 keep their precision; other
            numbers become float64.
        out : ndarray or None, default None
            Where the draws are written: contiguous, of the shape and dtype of the result; may be `logits`
            itself.

        Returns
        -------
        ndarray of the shape of logits
            Zeros and ones in the dtype of the logits, which a network reads without conversion. NaN where a
            logit is NaN.

        Raises
        ------
        TypeError, ValueError
            If logits are not real numbers; if out does not fit.

        Examples
        --------
        >>> from dnn import Sampler
        >>> Sampler(random_state=0).bernoulli([-1000.0, 0.0, 1000.0])
        array([0., 0., 1.])
        """
        z = logits
        if type(z) is not np.ndarray or z.dtype not in PRECISIONS or not z.flags.carray:
            z = _converted(z)
        target = np.empty(z.shape, z.dtype) if out is None else _checked(out, z.shape, z.dtype)
        if out is not None and z is not out and np.may_share_memory(z, out):
            z = z.copy()
        _core.bernoulli(z.reshape(-1), target.reshape(-1), self.seed, self._next())
        return target

    def normal(
        self, shape: int | Sequence[int], *, dtype: Any = "float32", out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return independent standard normal variables: mean 0, variance 1.

        Parameters
        ----------
        shape : int or sequence of int
            Shape of the result.
        dtype : {"float32", "float64"}, default "float32"
            Precision of the result; float32 is that of a network by default. Ignored if out is given.
        out : ndarray or None, default None
            Where the noise is written: contiguous, of the given shape, float32 or float64.

        Returns
        -------
        ndarray of the given shape

        Raises
        ------
        TypeError, ValueError
            If the shape is not one; if dtype is neither float32 nor float64; if out does not fit.

        Examples
        --------
        >>> from dnn import Sampler
        >>> sampler = Sampler(random_state=0)
        >>> first = sampler.normal((2, 3))
        >>> sampler.counter = 0
        >>> bool((sampler.normal((2, 3)) == first).all())
        True
        """
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        wanted = tuple(
            size if type(size) is int and size >= 0 else checks.check_integer("shape", size, 0)
            for size in sizes
        )
        precision = getattr(out, "dtype", dtype)
        if precision not in PRECISIONS:  # one of them compares equal to its name
            precision = checks.check_dtype(precision)
        target = np.empty(wanted, precision) if out is None else _checked(out, wanted, precision)
        _core.normal(target.reshape(-1), self.seed, self._next())
        return target

    def _next(self) -> int:
        """Return the number of this call, and count it."""
        call = self.counter
        if type(call) is not int or not 0 <= call <= LARGEST:
            call = checks.check_integer("counter", call, 0, LARGEST)
        self.counter = (call + 1) & LARGEST
        return call


def _converted(logits: Any) -> np.ndarray:
    """Return logits as a contiguous array of float32, or of float64 where float32 would lose digits."""
    z = np.asarray(logits)
    if z.dtype.kind not in "fiub":
        raise TypeError(f"logits must be real numbers, got dtype {z.dtype}")
    dtype = np.float32 if z.dtype.kind == "f" and z.dtype.itemsize <= 4 else np.float64
    return np.require(z, dtype, ["C", "A"]).reshape(z.shape)


def _checked(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return out, if draws of a shape and a dtype can be written to it."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array or None, got {out!r}")
    if out.shape != shape or out.dtype != dtype or not out.dtype.isnative:
        raise ValueError(f"out must have shape {shape} and dtype {dtype}, got {out.shape} and {out.dtype}")
    if not out.flags.carray:
        raise ValueError("out must be contiguous, aligned and writeable")
    return out
