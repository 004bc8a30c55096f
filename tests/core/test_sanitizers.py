"""The C code under sanitizers: teams under ThreadSanitizer, matrix kernels under AddressSanitizer."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "dnn"
HERE = Path(__file__).parent / "sanitized"
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]


def build(tmp_path, name, sanitizer, sources):
    """Compile each source with its flags, link them, and return the program."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not SOURCE.joinpath("core/team.c").is_file():
        pytest.skip("needs a C compiler and the sources")
    objects, at_work = [], []
    for source, flags in sources:
        objects.append(str(tmp_path / f"{source.parent.name}_{source.stem}.o"))
        at_work.append(subprocess.Popen(
            [compiler, "-c", "-O1", "-std=c11", "-fno-math-errno", "-ffp-contract=fast", f"-I{SOURCE}",
             f"-fsanitize={sanitizer}", *flags, str(source), "-o", objects[-1]]
        ))  # fmt: skip
    assert [compiling.wait() for compiling in at_work] == [0] * len(sources)
    program = tmp_path / name
    subprocess.run(
        [compiler, f"-fsanitize={sanitizer}", *objects, "-lm", "-pthread", "-o", str(program)], check=True
    )
    return program


def run(program):
    return subprocess.run([str(program)], capture_output=True, text=True, timeout=300)


@pytest.mark.long
def test_a_hundred_thousand_barriers(tmp_path):
    sources = [(HERE / "team.c", []), (SOURCE / "core/team.c", [])]
    clock = tmp_path / "clock.c"
    clock.write_text(
        "#define _POSIX_C_SOURCE 200112L\n#include <time.h>\ndouble dnn_seconds(void) { struct timespec t; "
        "clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }\n"
    )
    ran = run(build(tmp_path, "team", "thread", [*sources, (clock, [])]))
    assert "ThreadSanitizer" not in ran.stderr and ran.returncode == 0, ran.stderr + ran.stdout


@pytest.mark.long
def test_products_at_the_edges_of_their_memory(tmp_path):
    sources = [
        (HERE / "products.c", []),
        (SOURCE / "core/kernels/baseline.c", []),
        # Optimizing the unrolled blocks would take two minutes, and would not find more errors.
        (SOURCE / "core/kernels/avx2.c", ["-mavx2", "-mfma", "-O0"]),
        (SOURCE / "core/kernels/avx512.c", [*AVX512, "-O0"]),
    ]
    ran = run(build(tmp_path, "products", "address", sources))
    assert "Sanitizer" not in ran.stderr, ran.stderr[-3000:]
    assert ran.returncode == 0, ran.stdout[-3000:]


@pytest.mark.long
def test_draws_at_the_edges_of_their_memory(tmp_path):
    kernels = SOURCE / "core/kernels"
    sources = [
        (HERE / "draws.c", []),
        (kernels / "sampling_baseline.c", ["-ffp-contract=off"]),
        (kernels / "sampling_avx2.c", ["-mavx2", "-mfma", "-ffp-contract=off"]),
        (kernels / "sampling_avx512.c", [*AVX512, "-ffp-contract=off"]),
    ]
    ran = run(build(tmp_path, "draws", "address,undefined", sources))
    assert not ran.stderr and ran.returncode == 0, ran.stderr[-3000:]
