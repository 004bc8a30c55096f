"""Damaged and hostile model files: loading one gives a model or one ModelFormatError, and nothing else.

``python tests/fuzz_files.py --n 200000 --processes 2`` loads so many, and prints how many it loads per second
and how much memory a process took. A process that crashes, or computes for a minute on a thousand, ends all.
"""

import argparse
import concurrent.futures
import faulthandler
import functools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import typing
import warnings
from pathlib import Path

import saved_models

import dnn
from dnn import ModelFormatError

STRANGE = [json.dumps(item) for item in (
    None, True, False, -1, 0, 1, 2, 3, 625, 2**31, 2**53, 2**60, 2**63, 2**64, 2**128, 10**400, 0.5, -0.0,
    1e308, "", "x", "nan", "float32", "layers.0.W", "probe.X", "__class__", "\ud800", "\x00", "a" * 1000,
    [], {}, [[]], [None], [1] * 9, {"type": "float", "value": "nan"}, {"type": "float", "value": "inf"},
    {"type": "tuple", "items": []}, {"type": "SGD", "fields": {}}, {"type": "Network", "fields": {}},
    {"type": "os.system", "fields": {"command": "true"}},
    {"type": "array", "dtype": "float32", "array": "layers.0.W"},
    {"type": "dict", "items": [[1, 2], [1, 2]]}, {"type": "dict", "items": [[[], 2]]}, {"type": "members"},
    {"type": "scalar", "dtype": "uint8", "value": 300}, {"type": "floats", "array": "probe.X"},
    {"type": "scalar", "dtype": "float16", "value": 1e300}, {"type": "dtype", "name": "float16"},
    {"dtype": "strings", "array": "layers.0.W"}, {"dtype": "object", "shape": [2], "items": [[1], [2]]},
)]  # fmt: skip


def deep(item, levels):
    for _ in range(levels):
        item = [item]
    return item


class Entry(typing.NamedTuple):
    """Where a value stands in the text of a JSON document: text[start:end], with its key text[first:end]."""

    first: int
    start: int
    end: int
    erased: tuple[int, int]  # first and end with one of the commas beside it
    next: int  # the entries from its own index + 1 to this one are inside of it
    siblings: dict[str, int] | None  # the entries of the object it belongs to, by key; None in a list
    value: typing.Any


class Json:
    """The text of a JSON document, and every place of it where a value stands.

    A mutation replaces pieces of the text. To copy, edit and write documents instead takes ten times as long.
    """

    def __init__(self, document):
        self.pieces, self.length, self.entries = [], 0, []
        self._add_value(document)
        self.text = "".join(self.pieces)

    def _add(self, piece):
        self.pieces.append(piece)
        self.length += len(piece)

    def _add_value(self, item):
        if not isinstance(item, (dict, list)):
            self._add(json.dumps(item))
            return
        siblings = {} if isinstance(item, dict) else None
        self._add("[{"[siblings is not None])
        for i, key in enumerate(item):
            first = self.length
            if siblings is not None:
                siblings[key] = len(self.entries)
                self._add(json.dumps(key) + ":")
            value = item[key] if siblings is not None else key
            at, start = len(self.entries), self.length
            self.entries.append(None)
            self._add_value(value)
            end, last = self.length, i == len(item) - 1
            erased = (first - (i > 0), end) if last else (first, end + 1)
            self.entries[at] = Entry(first, start, end, erased, len(self.entries), siblings, value)
            self._add("" if last else ",")
        self._add("]}"[siblings is not None])

    def copied(self, draws, at):
        """The text of an entry, sometimes with something strange inside."""
        entry = self.entries[at]
        if entry.next == at + 1 or draws.random() < 0.75:
            return self.text[entry.start : entry.end]
        inner = self.entries[draws.randrange(at + 1, entry.next)]
        return self.text[entry.start : inner.start] + draws.choice(STRANGE) + self.text[inner.end : entry.end]

    def edited(self, draws):
        """The text with changes in one to three places that do not overlap."""
        edits = []
        for _ in range(draws.randrange(1, 4)):
            if self.entries:
                edits.append(self._edit(draws, draws.randrange(len(self.entries))))
        text, low = self.text, len(self.text) + 1
        for start, end, new in sorted(edits, reverse=True):
            if end < low:
                text, low = text[:start] + new + text[end:], start
        return text

    def _edit(self, draws, at):
        first, start, end, erased, _, siblings, value = self.entries[at]
        match draws.randrange(8):
            case 0:
                return *erased, ""
            case 1:
                return start, end, self.copied(draws, draws.randrange(len(self.entries)))
            case 2 if siblings is not None:
                key = draws.choice(["x", "type", "dtype", "", "solver", "_net"])
                if key in siblings:
                    its = self.entries[siblings[key]]
                    return its.start, its.end, self.copied(draws, at)
                return first, first, f'"{key}":{self.copied(draws, at)},'
            case 3 if siblings is None:
                return first, first, self.copied(draws, at) + ","
            case 4 if type(value) in (int, float) and abs(value) < 2**100:
                return start, end, json.dumps(value * draws.choice([-1, 2, 10]) + draws.choice([0, 1, 0.5]))
            case 5:
                levels = draws.randrange(1, 60)
                return start, end, "[" * levels + self.copied(draws, at) + "]" * levels
            case _:
                return start, end, draws.choice(STRANGE)


class Original:
    """A file, taken apart."""

    def __init__(self, data):
        self.data = data
        self.n = int.from_bytes(data[:8], "little")
        header, self.rest = split(data)
        self.header, self.document = Json(header), Json(json.loads(header["__metadata__"]["dnn"]))
        place = next(each for each in self.header.entries if each.siblings and "dnn" in each.siblings)
        self.around = self.header.text[: place.start], self.header.text[place.end :]

    def with_document(self, text):
        """The file with another document."""
        return joined(f"{self.around[0]}{json.dumps(text)}{self.around[1]}".encode(), self.rest)


def split(data):
    """The header of a file, and its arrays."""
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def joined(header, rest):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def flipped(draws, data, low=0, high=None):
    found = bytearray(data)
    for _ in range(draws.randrange(1, 9)):
        found[draws.randrange(low, high or len(data))] ^= 1 << draws.randrange(8)
    return bytes(found)


def mutated(draws, file, other):
    """A file that was damaged in one of many ways; other: another file."""
    data, n = file.data, file.n
    at = draws.randrange(len(data))
    match draws.randrange(18):
        case 0:
            return flipped(draws, data)
        case 1:
            return flipped(draws, data, 8, 8 + n)
        case 2:
            return data[:at]
        case 3:
            return data[:at] + draws.randbytes(draws.randrange(1, 40)) + data[at:]
        case 4:
            return data[:at] + data[at + draws.randrange(1, 40) :]
        case 5:
            return data[:at] + other.data[at:]
        case 6:
            lengths = [0, 1, 2, n - 1, n + 1, len(data) - 8, len(data), 2**31, 2**60, 2**63 - 1]
            return draws.choice(lengths).to_bytes(8, "little") + data[8:]
        case 7 | 8:
            return joined(file.header.edited(draws).encode(), file.rest)
        case 9:
            text = bytearray(file.document.text.encode())
            for _ in range(draws.randrange(1, 4)):
                text[draws.randrange(len(text))] = draws.choice(b'"0129[]{},:.-eE x\\')
            return file.with_document(text.decode("latin-1"))
        case 10:  # a key that is there twice
            first = file.header.entries[0]
            its = file.header.entries[draws.choice(list(first.siblings.values()))]
            text = file.header.text
            return joined(f"{{{text[its.first : its.end]},{text[1:]}".encode(), file.rest)
        case _:
            return file.with_document(file.document.edited(draws))


def originals(folder):
    """The bytes of a file of each kind."""
    found = []
    for make in saved_models.MODELS.values():
        make().save(Path(folder, "model"))
        found.append(Path(folder, "model").read_bytes())
    return found


class Result(typing.NamedTuple):
    """What became of mutations."""

    n_loaded: int
    failures: list[tuple[int, int, str]]  # the seed, the number of the mutation, what was raised
    slowest: float  # in seconds
    memory: int  # the most that the process has taken until then, in bytes


def attack(seed, n, files):
    """Load n mutations of files, which are given as their bytes."""
    draws = random.Random(seed)
    files = [taken_apart(data) for data in files]
    n_loaded, failures, slowest = 0, [], 0.0
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = os.path.join(folder, "model")
        for i in range(n):
            data = mutated(draws, draws.choice(files), draws.choice(files))
            with open(path, "wb", buffering=0) as file:
                file.write(data)
            start = time.perf_counter()
            try:
                dnn.load(path)
                n_loaded += 1
            except ModelFormatError as error:
                assert len(str(error)) < 1000
            except BaseException:
                failures.append((seed, i, traceback.format_exc()))
            slowest = max(slowest, time.perf_counter() - start)
    return Result(n_loaded, failures, slowest, most_memory())


taken_apart = functools.cache(Original)


def most_memory():
    """The most memory that this process has taken, in bytes; 0 where it is unknown."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


FILES = []  # of a process that main has started


def begin(files):
    """Begin such a process."""
    FILES.extend(files)
    faulthandler.enable()


def attack_a_thousand(seed):
    """Load the mutations of a seed; end the process if that takes a minute of the processor, or an hour."""
    faulthandler.dump_traceback_later(3600, exit=True)
    if hasattr(signal, "setitimer"):  # a machine that does much else may give a process little time
        faulthandler.register(signal.SIGPROF, chain=True)
        signal.setitimer(signal.ITIMER_PROF, 60)
    return attack(seed, 1000, FILES)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=200_000, help="number of mutations")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0, help="the first seed; each thousand has its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = originals(folder)
    start = time.perf_counter()
    seeds = range(given.seed, given.seed + -(-given.n // 1000))
    n, n_loaded, n_failed, slowest, memory = 0, 0, 0, 0.0, 0

    # The environment is that of processes which start anew
    os.environ |= {"DNN_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pool = concurrent.futures.ProcessPoolExecutor(
        given.processes, multiprocessing.get_context("spawn"), begin, (files,)
    )
    with pool:
        for seed, result in zip(seeds, pool.map(attack_a_thousand, seeds), strict=True):
            n += 1000
            n_loaded += result.n_loaded
            n_failed += len(result.failures)
            slowest, memory = max(slowest, result.slowest), max(memory, result.memory)
            for _, i, text in result.failures[:20]:
                print(f"seed {seed}, mutation {i}:\n{text}", flush=True)
            if n % 100_000 == 0 or seed == seeds[-1]:
                seconds = time.perf_counter() - start
                n_refused = n - n_loaded - n_failed
                print(
                    f"{n} mutations in {seconds:.0f} s, {n / seconds:.0f} per second; {n_loaded} loaded, "
                    f"{n_refused} refused, {n_failed} failed; the slowest took {slowest:.3f} s; "
                    f"a process took at most {memory / 1e6:.0f} MB",
                    flush=True,
                )
    return bool(n_failed)


if __name__ == "__main__":
    raise SystemExit(main())
