"""Saved models of dnn for Cython: `from dnn cimport dnn_import, dnn_open, ...`. The functions are described in dnn.h.

Call dnn_import() once at the top of each module. The compiler needs include_dirs=[dnn.get_include()].
"""

cdef extern from "dnn.h":
    int dnn_import() except -1
    int dnn_from_object(object model, DnnModel** opened)

cdef extern from "dnn.h" nogil:
    enum:
        DNN_API_VERSION
        DNN_OK
        DNN_ERROR_ARGUMENT
        DNN_ERROR_FILE
        DNN_ERROR_FORMAT
        DNN_ERROR_MISSING
        DNN_ERROR_UNSUPPORTED
        DNN_ERROR_PRECISION
        DNN_ERROR_MEMORY
        DNN_ERROR_PYTHON

    ctypedef struct DnnModel:
        pass

    int dnn_open(const char* path, DnnModel** model)
    void dnn_close(DnnModel* model)
    Py_ssize_t dnn_n_inputs(const DnnModel* model)
    Py_ssize_t dnn_n_outputs(const DnnModel* model)
    int dnn_is_double(const DnnModel* model)
    int dnn_predict_float(const DnnModel* model, const float* X, Py_ssize_t n_rows, float* out)
    int dnn_predict_double(const DnnModel* model, const double* X, Py_ssize_t n_rows, double* out)
    const char* dnn_last_error()
