"""The installed library, the archives, the oldest supported packages, and other packages named dnn."""

import os
import re
import struct
import subprocess
import sys
import tarfile
import time
import tomllib
import warnings
from pathlib import Path

import pytest
from lower_bounds import lower_bounds

import dnn
from dnn import _core
from dnn._installation import warn_of_namesake

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "setup.py"


def run_paths(library):
    """Return the tags of RPATH and RUNPATH in the dynamic section of a 64-bit little-endian ELF library."""
    data = library.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01", "the library is not a 64-bit little-endian ELF file"
    (at,) = struct.unpack_from("<Q", data, 32)
    size, number = struct.unpack_from("<HH", data, 54)
    found = []
    for header in range(at, at + size * number, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, header)
        if kind == 2:  # PT_DYNAMIC
            tags = [tag for tag, _ in struct.iter_unpack("<qq", data[offset : offset + length])]
            assert 0 in tags and 5 in tags, "no dynamic section"
            found += [tag for tag in tags if tag in (15, 29)]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="run paths of ELF libraries: only Linux has them")
def test_the_library_has_no_run_path(tmp_path):
    assert run_paths(Path(_core.__file__)) == []
    source = tmp_path / "empty.c"
    source.write_text("int nothing;")
    planted = tmp_path / "planted.so"
    link = ["gcc", "-shared", "-fPIC", "-Wl,-rpath,/nowhere", str(source), "-o", str(planted)]
    if subprocess.run(link, check=False, capture_output=True).returncode == 0:
        assert len(run_paths(planted)) == 1  # a run path is found


@pytest.mark.long
@pytest.mark.skipif(not SETUP.exists(), reason="setup.py is not beside these tests")
def test_the_sdist_has_the_same_bytes_whenever_it_is_made(tmp_path):
    """Copies of a small project whose files have different times and modes give the same bytes."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools", minversion="77")
    script = SETUP.read_text().split("annotate = ")[0] + 'setup(cmdclass={"sdist": ReproducibleSdist})\n'
    archives = []
    for number, umask in enumerate((0o22, 0o77)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "setup.py").write_text(script)
        (folder / "pyproject.toml").write_text('[project]\nname = "thing"\nversion = "1"\n')
        (folder / "thing.py").write_text("")
        (folder / "thing.py").chmod(0o666 & ~umask)
        os.utime(folder / "thing.py", (1e9 + number, 1e9 + number))
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(
            [sys.executable, "setup.py", "-q", "sdist"], cwd=folder, env=environment, check=True,
            capture_output=True,
        )  # fmt: skip
        (archive,) = (folder / "dist").glob("*.tar.gz")
        archives.append(archive.read_bytes())
        with tarfile.open(archive) as members:
            assert {member.mtime for member in members} == {1700000000}
            assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}
        time.sleep(1.1)  # gzip and tar store times in seconds
    assert archives[0] == archives[1]


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="pyproject.toml is not beside these tests")
def test_lower_bounds_are_those_of_the_project():
    found = lower_bounds(ROOT / "pyproject.toml")
    names = {each.partition("==")[0] for each in found}
    assert {"numpy", "scipy", "scikit-learn", "matplotlib", "tqdm", "pandas", "pytest"} <= names
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for each in (*project["dependencies"], *extras["sklearn"], *extras["plot"]):
        assert each.replace(">=", "==") in found


FILES = {
    "its own": ([("RECORD", "dnn/__init__.py,sha256=x,1\n")], True),
    "an egg": ([("SOURCES.txt", "README\ndnn/__init__.py\n")], True),
    "a list of another package": ([("RECORD", "dnnlib/__init__.py,,\n")], False),
    "no list": ([], True),
}


@pytest.mark.parametrize("name", ["dnn-1.2.3.dist-info", "DNN-0.1.egg-info", "dnn-0.1-py3.11.egg-info"])
@pytest.mark.parametrize("files", FILES)
def test_another_distribution_of_the_name_dnn_gives_a_warning(name, files, tmp_path):
    contents, owns = FILES[files]
    (tmp_path / name).mkdir()
    for file, text in contents:
        (tmp_path / name / file).write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_namesake(str(tmp_path / "dnn"))
    assert len(caught) == owns
    if owns:
        assert re.search(rf"^{name} says .*'dnn'.*pip uninstall dnn", str(caught[0].message))


def test_other_folders_give_no_warning(tmp_path):
    for name in (
        "dnn_core-0.1.0.dist-info",
        "dnn-core.egg-info",
        "dnn-helper-1.0.dist-info",
        "dnn",
    ):
        (tmp_path / name).mkdir()
    warn_of_namesake(str(tmp_path / "dnn"))  # a warning is an error in these tests
    warn_of_namesake(str(tmp_path / "missing" / "dnn"))


def test_importing_dnn_warns(tmp_path):
    """A new process imports dnn from a folder of links to the files of this package."""
    (tmp_path / "dnn").symlink_to(Path(dnn.__file__).parent)
    (tmp_path / "dnn-9.dist-info").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", "import dnn"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=True,
    )  # fmt: skip
    assert "<string>:1: UserWarning: dnn-9.dist-info says" in ran.stderr
