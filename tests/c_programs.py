"""Programs in C that call exported models: compiled by each compiler, run on rows, or run as WebAssembly."""

import shutil
import subprocess

import numpy as np
import pytest

STRICT = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wshadow", "-Wdouble-promotion"),
    *("-Wundef", "-Wcast-qual", "-Wwrite-strings"),
]
C = ["-std=c99", *STRICT, "-Wstrict-prototypes", "-Wmissing-prototypes"]
CPP = ["-x", "c++", "-std=c++11", *STRICT]


def need(program):
    """Skip where a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}, which is not installed")
    return program


def build(command, folder, *files, flags=()):
    """Compile files in their folder without a word."""
    done = subprocess.run([*command, *flags, *files], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


MAIN = """
#include <stdio.h>
static int read_rows(void *x, size_t size) {{ return fread(x, size, 1, stdin) == 1; }}
int main(void)
{{
{body}    return 0;
}}
"""
BLOCK = """\
    {{
        static {real} x[{NAME}_N_INPUTS], y[{NAME}_N_OUTPUTS];
        for (int r = 0; r < {n} && read_rows(x, sizeof x); r++) {{
            {name}_predict(x, y);
            fwrite(y, sizeof y, 1, stdout);
        }}
    }}
"""


def outputs(folder, models, flags=("-O1",), command=("cc",)):
    """What each model gives for its rows, all in one compilation. models: {name: (X, number of outputs)}."""
    includes = "".join(f'#include "{name}.c"\n' for name in models)
    body = "".join(
        BLOCK.format(
            name=name, NAME=name.upper(), n=len(X), real="float" if X.dtype == np.float32 else "double"
        )
        for name, (X, _) in models.items()
    )
    (folder / "main.c").write_text(includes + MAIN.format(body=body))
    build([need(command[0]), *command[1:]], folder, "main.c", "-o", "main", "-lm", flags=flags)
    rows = b"".join(X.tobytes() for X, _ in models.values())
    ran = subprocess.run([folder / "main"], input=rows, capture_output=True, check=True).stdout
    found = {}
    for name, (X, n_outputs) in models.items():
        n_bytes = len(X) * n_outputs * X.dtype.itemsize
        found[name] = np.frombuffer(ran[:n_bytes], X.dtype).reshape(len(X), n_outputs)
        ran = ran[n_bytes:]
    assert ran == b""
    return found
