/* A module in C that opens a saved model of dnn, and predicts with it on two threads of its own.
 *
 * from_c.predict(path, X, out): X (n_rows, n_inputs) and out (n_rows, n_outputs), float32 in C order; see setup.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dnn.h>
#include <pthread.h>

typedef struct {
    const DnnModel *model;
    const float *X;
    float *out;
    ptrdiff_t n_rows;
    int code;
} Rows;

static void *predict_rows(void *rows)
{
    Rows *r = rows;
    r->code = dnn_predict_float(r->model, r->X, r->n_rows, r->out);
    return NULL;
}

/* Predicts all rows with a model, one half on a new thread, and returns a code of dnn.h. */
static int predict_on_two_threads(const DnnModel *model, const float *X, ptrdiff_t n_rows, float *out)
{
    const ptrdiff_t half = n_rows / 2;
    Rows first = {model, X, out, half, DNN_OK};
    Rows second = {model, X + half * dnn_n_inputs(model), out + half * dnn_n_outputs(model), n_rows - half, DNN_OK};
    pthread_t thread;
    const int started = pthread_create(&thread, NULL, predict_rows, &first) == 0;
    if (!started)
        predict_rows(&first);
    predict_rows(&second);
    if (started)
        pthread_join(thread, NULL);
    return first.code ? first.code : second.code;
}

static PyObject *predict(PyObject *module, PyObject *args)
{
    const char *path;
    Py_buffer X, out;
    DnnModel *model;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "sy*w*", &path, &X, &out))
        return NULL;
    if (dnn_open(path, &model) != DNN_OK) {
        PyErr_SetString(PyExc_ValueError, dnn_last_error());
        goto release;
    }
    const ptrdiff_t n_rows = X.len / (ptrdiff_t)sizeof(float) / dnn_n_inputs(model);
    if (out.len != n_rows * dnn_n_outputs(model) * (ptrdiff_t)sizeof(float))
        PyErr_SetString(PyExc_ValueError, "out must have as many rows as X");
    else if (dnn_is_double(model))
        PyErr_SetString(PyExc_ValueError, "the model must compute in float32");
    else {
        int code;
        Py_BEGIN_ALLOW_THREADS
        code = predict_on_two_threads(model, X.buf, n_rows, out.buf);
        Py_END_ALLOW_THREADS
        if (code == DNN_OK)
            result = Py_NewRef(Py_None);
        else
            PyErr_Format(PyExc_RuntimeError, "the prediction failed with code %d", code);
    }
    dnn_close(model);
release:
    PyBuffer_Release(&X);
    PyBuffer_Release(&out);
    return result;
}

static PyMethodDef functions[] = {{"predict", predict, METH_VARARGS, "predict(path, X, out)"}, {NULL, NULL, 0, NULL}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "from_c", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit_from_c(void)
{
    if (dnn_import() < 0)
        return NULL;
    return PyModule_Create(&module);
}
