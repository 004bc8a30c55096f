"""Compiles dnn._core: Cython, and C kernels that take other compiler flags for each instruction set.

All else is in pyproject.toml. DNN_ANNOTATE=1 also writes Cython's annotated page, to build/cython.
"""

import copy
import os
from concurrent.futures import ThreadPoolExecutor

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError
from setuptools.modified import newer_group

# No -ffast-math: it gains nothing here, changes results, and at link time may change the whole process.
# -g0: Python's own flags often bring -g, which makes the library several times larger.
COMMON = [
    "-O3",
    "-std=c11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
    "-g0",
]
# What each file adds on x86-64; elsewhere all but the base compile to empty tables. Those that
# take longest come first.
KERNELS = {
    "src/dnn/_kernels_avx512.c": [
        "-mavx512f",
        "-mavx512dq",
        "-mavx512bw",
        "-mavx512vl",
        "-mfma",
        "-mprefer-vector-width=512",
    ],
    "src/dnn/_kernels_avx2.c": ["-mavx2", "-mfma"],
    "src/dnn/_kernels_base.c": [],
    "src/dnn/_team.c": ["-pthread"],
}
HEADERS = [
    "src/dnn/_kernels.h",
    "src/dnn/_kernels_math.h",
    "src/dnn/_kernels_body.h",
    "src/dnn/_products.h",
    "src/dnn/_team.h",
]


class BuildKernels(build_ext):
    """Compiles each file with its own flags, as many at once as there are cores; setuptools does neither."""

    def build_extension(self, ext):
        if self.compiler.compiler_type == "msvc":
            raise CompileError(
                "dnn needs gcc or clang, and this Python builds with MSVC; "
                "with MinGW-w64 installed, try: python setup.py build_ext --compiler=mingw32"
            )
        x86_64 = self.plat_name.endswith(("x86_64", "amd64"))
        # A copy: the command may be asked for the extension's files again after this.
        ext = copy.copy(ext)

        def compiled(source):
            (target,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
            if self.force or newer_group([source, *HEADERS, "setup.py"], target):
                self.compiler.compile(
                    [source],
                    output_dir=self.build_temp,
                    macros=ext.define_macros,
                    include_dirs=ext.include_dirs,
                    extra_postargs=COMMON + (KERNELS.get(source, []) if x86_64 else []),
                )
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(compiled, [*KERNELS, *ext.sources]))
        ext.depends, ext.sources = [*ext.depends, *ext.sources], []
        super().build_extension(ext)


annotate = os.environ.get("DNN_ANNOTATE") == "1"
core = Extension(
    "dnn._core",
    ["src/dnn/_core.pyx"],
    include_dirs=["src/dnn", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_link_args=["-pthread"],
    depends=[*KERNELS, *HEADERS, "setup.py"],
)

setup(
    cmdclass={"build_ext": BuildKernels},
    ext_modules=cythonize(
        [core],
        build_dir="build/cython",
        annotate=annotate,
        force=annotate,
        compiler_directives={
            "language_level": 3,
            "cdivision": True,
            "embedsignature": True,
        },
    ),
)
