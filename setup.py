"""Compiles dnn._core: Cython, and C kernels that take other compiler flags for each instruction set.

All else is in pyproject.toml. DNN_ANNOTATE=1 also writes Cython's annotated page, to build/cython. Archives
of the same commit have the same bytes: their files have the time of SOURCE_DATE_EPOCH, or of the commit.
"""

import copy
import gzip
import os
import re
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
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
# What each file adds; flags -m on x86-64 only, as elsewhere all but the base compile to empty tables. Those
# that take longest come first.
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]
AVX2 = ["-mavx2", "-mfma"]
# Without fused multiply-adds, which the baseline does not have, draws are the same on all instruction sets.
UNFUSED = ["-ffp-contract=off"]
KERNELS = {
    "src/dnn/core/kernels/avx512.c": AVX512,
    "src/dnn/core/kernels/avx2.c": AVX2,
    "src/dnn/core/kernels/baseline.c": [],
    "src/dnn/core/kernels/sampling_avx512.c": [*AVX512, *UNFUSED],
    "src/dnn/core/kernels/sampling_avx2.c": [*AVX2, *UNFUSED],
    "src/dnn/core/kernels/sampling_baseline.c": UNFUSED,
    "src/dnn/core/team.c": ["-pthread"],
}
HEADERS = sorted(str(path) for folder in ("core", "include") for path in Path("src/dnn", folder).rglob("*.h"))


ROOT = Path(__file__).resolve().parent
# Python's own link flags may name the folder of the libpython that it was built with. This library does not
# need that folder, and another machine does not have it.
RUN_PATH = re.compile(r"-Wl,(--?rpath|-R)[,=]")


def source_time():
    """Return the time of the last commit in seconds, or of pyproject.toml where there is no repository."""
    if (ROOT / ".git").exists():
        try:
            found = subprocess.run(
                ["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
            )
            return int(found.stdout)
        except (OSError, ValueError, subprocess.CalledProcessError):
            pass  # without git, without a commit, or of another user
    return int((ROOT / "pyproject.toml").stat().st_mtime)


class BuildKernels(build_ext):
    """Compiles each file with its own flags, as many at once as there are cores; setuptools does neither."""

    def build_extension(self, ext):
        if self.compiler.compiler_type == "msvc":
            raise CompileError(
                "dnn needs gcc or clang, and this Python builds with MSVC; "
                "with MinGW-w64 installed, try: python setup.py build_ext --compiler=mingw32"
            )
        self.compiler.linker_so = [each for each in self.compiler.linker_so if not RUN_PATH.match(each)]
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
                    extra_postargs=COMMON
                    + [flag for flag in KERNELS.get(source, []) if x86_64 or not flag.startswith("-m")],
                )
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(compiled, [*KERNELS, *ext.sources]))
        ext.depends, ext.sources = [*ext.depends, *ext.sources], []
        super().build_extension(ext)


class BuildPrograms(build_py):
    """Puts the programs of examples/ into the wheel as dnn/examples, where `dnn demo` finds them."""

    def run(self):
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "dnn", "examples")
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(Path("examples").glob("*.py")):
                self.copy_file(str(path), str(folder / path.name))


class ReproducibleSdist(sdist):
    """Writes a tar.gz whose bytes depend only on names and contents of its files, and SOURCE_DATE_EPOCH."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        if format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        now = int(os.environ["SOURCE_DATE_EPOCH"])

        def plain(member):
            member.mtime, member.uid, member.gid, member.uname, member.gname = now, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        name = f"{base_name}.tar.gz"
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=now) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=plain)  # in the order of names
        return name


os.environ.setdefault("SOURCE_DATE_EPOCH", str(source_time()))  # which the wheel's archive also heeds
annotate = os.environ.get("DNN_ANNOTATE") == "1"
core = Extension(
    "dnn._core",
    ["src/dnn/_core.pyx"],
    include_dirs=["src/dnn", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NDEBUG", None)],
    extra_link_args=["-pthread"],
    depends=[*KERNELS, *HEADERS, "setup.py"],
)

setup(
    cmdclass={"build_ext": BuildKernels, "build_py": BuildPrograms, "sdist": ReproducibleSdist},
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
