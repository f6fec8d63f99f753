/* A Python module with one function, `touch(buffer)`: the step "use the pixels" of every Python subject. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pages.h"

static PyObject *touch(PyObject *module, PyObject *source)
{
    Py_buffer buffer;
    (void)module;
    if (PyObject_GetBuffer(source, &buffer, PyBUF_SIMPLE) != 0)
        return NULL;
    unsigned sum = touch_pages(buffer.buf, (size_t)buffer.len);
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLong(sum & 0xff);
}

static PyMethodDef functions[] = {
    {"touch", touch, METH_O, "Read one byte of every page of a buffer."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pagetouch",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_pagetouch(void)
{
    return PyModule_Create(&definition);
}
