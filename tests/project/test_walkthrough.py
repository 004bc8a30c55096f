"""CONTRIBUTING's example of a new activation, carried out in a copy of the sources."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import reference

pytestmark = pytest.mark.long  # the same on every Python
ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "src" / "dnn" / "core" / "kernels"
# A function of the new activation for Python: the last row of the table, in double precision.
DRIVER = """
#include "kernels.h"
static int last(void)
{
    int i = 0;
    while (dnn_activations[i + 1].name)
        i++;
    return i;
}
const char *name(void) { return dnn_activations[last()].name; }
void value(ptrdiff_t n, double *z, double *a)
{
    dnn_kernels_baseline[1].activate(last(), 0, 1, n, 0, z, n, a, n);
}
void slope(ptrdiff_t n, double *z, double *d_a, double *d_z)
{
    dnn_kernels_baseline[1].slope(last(), 0, 1, n, z, n, d_a, n, d_z, n);
}
const DnnKernels dnn_kernels_avx2[2] = {{0}, {0}}, dnn_kernels_avx512[2] = {{0}, {0}};
"""


@pytest.fixture(scope="module")
def snippets():
    """The code blocks of the example: of the oracle, of the table, of the formulas."""
    path = ROOT / "CONTRIBUTING.md"
    if not path.exists() or not KERNELS.exists():
        pytest.skip("needs the checkout: an installed package has neither the sources nor the page")
    section = path.read_text().split("## Example: a new activation\n")[1].split("\n## ")[0]
    return re.findall(r"```(?:python|c)\n(.*?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def library(snippets, tmp_path_factory):
    """The kernels of the baseline with the new activation."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("walkthrough") / "kernels"
    shutil.copytree(KERNELS, folder)
    _, row, formulas = snippets

    def edit(name, pattern, replacement):
        text, n = re.subn(pattern, lambda _: replacement, (folder / name).read_text(), count=1)
        assert n == 1, f"{name} has no place {pattern}"
        (folder / name).write_text(text)

    table = re.search(r"#define DNN_ACTIVATIONS\(ROW\)(?:.*\\\n)+.*", (folder / "kernels.h").read_text())[0]
    edit("kernels.h", re.escape(table), f"{table} \\\n{row.rstrip()}")
    edit("activations.h", r"#define ELEMENTWISE_0\(", f"{formulas}\n#define ELEMENTWISE_0(")
    (folder / "driver.c").write_text(DRIVER)
    built = folder / "kernels.so"
    subprocess.run(
        [compiler, "-std=c11", "-O1", "-shared", "-fPIC", "-fno-math-errno", "-ffp-contract=fast",
         str(folder / "baseline.c"), str(folder / "driver.c"), "-lm", "-o", str(built)],
        check=True,
    )  # fmt: skip
    return ctypes.CDLL(str(built))


def call(function, *arrays):
    out = np.empty_like(arrays[0])
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*arrays, out)]
    function(ctypes.c_ssize_t(len(out)), *pointers)
    return out


def test_the_new_activation_computes_what_the_oracle_says(snippets, library):
    library.name.restype = ctypes.c_char_p
    name = library.name().decode()
    line, row, formulas = snippets
    assert f'"{name}"' in line and f"ROW({name}," in row and f"NAME({name}_value)" in formulas
    f, backward = eval("{" + line + "}", vars(reference))[name]
    rng = np.random.default_rng(0)
    z, d_a = rng.normal(scale=3, size=1001), rng.normal(size=1001)
    np.testing.assert_allclose(call(library.value, z.copy()), f(z), rtol=1e-14)
    found = call(library.slope, z, d_a)
    np.testing.assert_allclose(found, backward(z, d_a), rtol=1e-13)
    numeric = (f(z + 1e-6) - f(z - 1e-6)) / 2e-6
    np.testing.assert_allclose(found, d_a * numeric, rtol=1e-5, atol=1e-9)
