/* Saved models of dnn for C, C++ and Cython: open a model, predict rows into a buffer, close it.
 *
 *     if (dnn_import() < 0)                 once in each source file, with the GIL; sets a Python exception
 *         return NULL;
 *     DnnModel *model;
 *     if (dnn_open("iris.safetensors", &model) != DNN_OK)
 *         fprintf(stderr, "%s\n", dnn_last_error());
 *     dnn_predict_float(model, X, n_rows, out);    any thread, no GIL, many at once
 *     dnn_close(model);
 *
 * Compile with the folder that `python -c "import dnn; print(dnn.get_include())"` prints and with Python's own headers; there
 * is nothing to link. The guide "Use a model from C or Cython" explains it with complete examples.
 */
#ifndef DNN_H
#define DNN_H

#include <Python.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of DnnAPI. It changes if a function changes or leaves. A new function is appended, and changes the size
 * only: code that was compiled with an older header still runs. */
#define DNN_API_VERSION 1
#define DNN_API_NAME "dnn._core._C_API"

/* What the functions that return int return. dnn_last_error() says more. */
enum {
    DNN_OK = 0,
    DNN_ERROR_ARGUMENT = 1,    /* a pointer is NULL, or n_rows is negative */
    DNN_ERROR_FILE = 2,        /* the file does not exist or cannot be read */
    DNN_ERROR_FORMAT = 3,      /* the file is damaged, no model file, or of a newer format */
    DNN_ERROR_MISSING = 4,     /* the model needs a package that is not installed: scikit-learn for estimators */
    DNN_ERROR_UNSUPPORTED = 5, /* the file or the object is not a network or a fitted MLP estimator */
    DNN_ERROR_PRECISION = 6,   /* the model computes in the other precision: see dnn_is_double */
    DNN_ERROR_MEMORY = 7,
    DNN_ERROR_PYTHON = 8       /* any other exception of Python */
};

/* A snapshot of a model, which never changes. */
typedef struct DnnModel DnnModel;

/* The functions, which Python's dnn provides in a capsule. Call them by the functions of the same names below. */
typedef struct {
    int version;
    size_t size; /* bytes of this struct */
    int (*open)(const char *path, DnnModel **model);
    int (*from_object)(PyObject *object, DnnModel **model);
    void (*close)(DnnModel *model);
    ptrdiff_t (*n_inputs)(const DnnModel *model);
    ptrdiff_t (*n_outputs)(const DnnModel *model);
    int (*is_double)(const DnnModel *model);
    int (*predict_float)(const DnnModel *model, const float *X, ptrdiff_t n_rows, float *out);
    int (*predict_double)(const DnnModel *model, const double *X, ptrdiff_t n_rows, double *out);
    const char *(*last_error)(void);
} DnnAPI;

/* Of this source file, set by dnn_import. */
static const DnnAPI *dnn_api = NULL;

/* Imports dnn in this source file. Call it with the GIL before any other function. Returns 0; or -1 with an exception of
 * Python, ImportError if the installed dnn does not fit this header. */
static inline int dnn_import(void)
{
    const DnnAPI *api = (const DnnAPI *)PyCapsule_Import(DNN_API_NAME, 0);
    if (!api)
        return -1;
    if (api->version != DNN_API_VERSION) {
        PyErr_Format(PyExc_ImportError,
                     "the installed dnn has version %d of its C interface, and this module was compiled for version %d",
                     api->version, DNN_API_VERSION);
        return -1;
    }
    if (api->size < sizeof(DnnAPI)) {
        PyErr_SetString(PyExc_ImportError, "the installed dnn is older than the dnn.h that this module was compiled with");
        return -1;
    }
    dnn_api = api;
    return 0;
}

/* Opens what `save` of a network or an estimator wrote to a file; path in the encoding of the file system. On an error
 * *model is NULL. Takes the GIL itself, from any thread. */
static inline int dnn_open(const char *path, DnnModel **model)
{
    return dnn_api->open(path, model);
}

/* The same for an object of Python, a Network, a Predictor or a fitted MLP estimator, as it is now. */
static inline int dnn_from_object(PyObject *object, DnnModel **model)
{
    return dnn_api->from_object(object, model);
}

/* Frees a model, once, after its last prediction has returned. NULL is allowed. Takes the GIL itself. */
static inline void dnn_close(DnnModel *model)
{
    dnn_api->close(model);
}

/* Values per row of X. */
static inline ptrdiff_t dnn_n_inputs(const DnnModel *model)
{
    return dnn_api->n_inputs(model);
}

/* Values per row of out. */
static inline ptrdiff_t dnn_n_outputs(const DnnModel *model)
{
    return dnn_api->n_outputs(model);
}

/* Whether the model computes in double; otherwise in float. */
static inline int dnn_is_double(const DnnModel *model)
{
    return dnn_api->is_double(model);
}

/* Writes the predictions for X (n_rows, n_inputs) to out (n_rows, n_outputs), both by rows without gaps, not overlapping: of a
 * network its outputs, of a regressor what `predict` returns, of a classifier the probability of each class.
 *
 * Needs no GIL; any number of threads may predict with one model at once. A call computes on its own thread only. It takes
 * less than 20 KB of stack, and allocates memory only for many rows, or for layers that are wider than a thousand. */
static inline int dnn_predict_float(const DnnModel *model, const float *X, ptrdiff_t n_rows, float *out)
{
    return dnn_api->predict_float(model, X, n_rows, out);
}

static inline int dnn_predict_double(const DnnModel *model, const double *X, ptrdiff_t n_rows, double *out)
{
    return dnn_api->predict_double(model, X, n_rows, out);
}

/* The message of the last error on this thread, in UTF-8, valid until the next one; "" before the first error. */
static inline const char *dnn_last_error(void)
{
    return dnn_api->last_error();
}

#ifdef __cplusplus
}
#endif

#endif
