"""Compiles the two examples: python setup.py build_ext --inplace, then python main.py.

It needs dnn, setuptools, Cython and a C compiler. Nothing is linked: the modules find dnn when they are
imported.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

import dnn

from_c = Extension("from_c", ["from_c.c"], include_dirs=[dnn.get_include()])
from_cython = Extension("from_cython", ["from_cython.pyx"], include_dirs=[dnn.get_include()])
setup(name="embed", py_modules=[], ext_modules=[from_c, *cythonize(from_cython, language_level=3)])
