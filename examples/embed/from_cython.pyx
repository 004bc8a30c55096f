# cython: boundscheck=False, wraparound=False
"""A module in Cython that opens a saved model of dnn; any number of threads may predict with it: see setup.py."""

from dnn cimport (
    DNN_OK, DnnModel, dnn_close, dnn_import, dnn_is_double, dnn_last_error, dnn_n_inputs, dnn_n_outputs, dnn_open,
    dnn_predict_float,
)

dnn_import()


cdef class Model:
    """A model from a file, which predicts in float32."""

    cdef DnnModel* model

    def __cinit__(self, str path):
        if dnn_open(path.encode(), &self.model) != DNN_OK:
            raise ValueError(dnn_last_error().decode())
        if dnn_is_double(self.model):
            raise ValueError("the model must compute in float32")

    def __dealloc__(self):
        if self.model != NULL:
            dnn_close(self.model)

    def predict(self, const float[:, ::1] X, float[:, ::1] out):
        """Write the predictions for X (n_rows, n_inputs) to out (n_rows, n_outputs)."""
        cdef int code = DNN_OK
        if X.shape[1] != dnn_n_inputs(self.model) or out.shape[1] != dnn_n_outputs(self.model) \
                or out.shape[0] != X.shape[0]:
            raise ValueError("X must have n_inputs columns, and out n_outputs columns and the rows of X")
        if X.shape[0] > 0:
            with nogil:
                code = dnn_predict_float(self.model, &X[0, 0], X.shape[0], &out[0, 0])
        if code != DNN_OK:
            raise RuntimeError(dnn_last_error().decode())
