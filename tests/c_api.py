"""The C interface of dnn, called by ctypes without a compiler, as version 1 of include/dnn.h declares it."""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_ssize_t, c_void_p, py_object

import numpy as np

from dnn import _core

OK, ARGUMENT, FILE, FORMAT, MISSING, UNSUPPORTED, PRECISION = range(7)


class Interface(ctypes.Structure):
    """DnnAPI of version 1: a change of it breaks compiled code of users, and needs a new version."""

    _fields_ = (
        ("version", c_int),
        ("size", c_size_t),
        ("open", ctypes.CFUNCTYPE(c_int, c_char_p, POINTER(c_void_p))),
        ("from_object", ctypes.CFUNCTYPE(c_int, py_object, POINTER(c_void_p))),
        ("close", ctypes.CFUNCTYPE(None, c_void_p)),
        ("n_inputs", ctypes.CFUNCTYPE(c_ssize_t, c_void_p)),
        ("n_outputs", ctypes.CFUNCTYPE(c_ssize_t, c_void_p)),
        ("is_double", ctypes.CFUNCTYPE(c_int, c_void_p)),
        ("predict_float", ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_ssize_t, c_void_p)),
        ("predict_double", ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_ssize_t, c_void_p)),
        ("last_error", ctypes.CFUNCTYPE(c_char_p)),
    )


pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = c_void_p, (py_object, c_char_p)
API = Interface.from_address(pointer(_core._C_API, b"dnn._core._C_API"))


class Model:
    """A model that was opened from a path, or from an object."""

    def __init__(self, source):
        self.at = c_void_p()
        by_path = isinstance(source, bytes)
        self.code = (API.open if by_path else API.from_object)(source, ctypes.byref(self.at))
        self.message = API.last_error().decode() if self.code else ""

    def __call__(self, X):
        """Return the predictions for X (N, I), which must have the precision of the model."""
        X = np.ascontiguousarray(X)
        out = np.full((len(X), API.n_outputs(self.at)), 7, X.dtype)
        predict = API.predict_float if X.dtype == np.float32 else API.predict_double
        assert predict(self.at, X.ctypes.data, len(X), out.ctypes.data) == OK
        return out

    def __del__(self):
        API.close(self.at)
