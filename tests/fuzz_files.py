"""Damaged and hostile model files: loading one gives a model or one ModelFormatError, and nothing else.

``python tests/fuzz_files.py --n 200000 --processes 2`` loads so many and prints how many it loads per second.
"""

import argparse
import concurrent.futures
import copy
import json
import os
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import saved_models

import dnn
from dnn import ModelFormatError

STRANGE = [
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
]  # fmt: skip


def deep(item, levels):
    for _ in range(levels):
        item = [item]
    return item


def places(item):
    """Every container of a JSON document with a key or an index in it."""
    keys = item.keys() if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
    for key in list(keys):
        yield item, key
        yield from places(item[key])


def edit(rng, document):
    """Change a few places of a JSON document."""
    document = copy.deepcopy(document)
    for _ in range(rng.integers(1, 4)):
        found = list(places(document))
        if not found:
            return document
        container, key = found[rng.integers(len(found))]
        other, its = found[rng.integers(len(found))]
        match rng.integers(8):
            case 0:
                del container[key]
            case 1:
                container[key] = copy.deepcopy(other[its])
            case 2 if isinstance(container, dict):
                container[rng.choice(["x", "type", "dtype", "", "solver", "_net"])] = container[key]
            case 3 if isinstance(container, list):
                container.insert(key, copy.deepcopy(container[key]))
            case 4 if type(container[key]) in (int, float) and abs(container[key]) < 2**100:
                container[key] = container[key] * int(rng.choice([-1, 2, 10])) + [0, 1, 0.5][rng.integers(3)]
            case 5:
                container[key] = deep(container[key], rng.integers(1, 60))
            case _:
                container[key] = copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])
    return document


def split(data):
    """The header of a file, and its arrays."""
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def joined(header, rest):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def flipped(rng, data, low=0, high=None):
    found = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        found[rng.integers(low, high or len(data))] ^= 1 << rng.integers(8)
    return bytes(found)


def mutated(rng, data, other):
    """A file that was damaged in one of many ways; other: another file."""
    n = int.from_bytes(data[:8], "little")
    at = int(rng.integers(len(data)))
    match rng.integers(18):
        case 0:
            return flipped(rng, data)
        case 1:
            return flipped(rng, data, 8, 8 + n)
        case 2:
            return data[:at]
        case 3:
            return data[:at] + rng.bytes(rng.integers(1, 40)) + data[at:]
        case 4:
            return data[:at] + data[at + rng.integers(1, 40) :]
        case 5:
            return data[:at] + other[at:]
        case 6:
            length = int(
                rng.choice([0, 1, 2, n - 1, n + 1, len(data) - 8, len(data), 2**31, 2**60, 2**63 - 1])
            )
            return length.to_bytes(8, "little") + data[8:]
        case 7 | 8:
            header, rest = split(data)
            return joined(edit(rng, header), rest)
        case 9:
            header, rest = split(data)
            text = bytearray(header["__metadata__"]["dnn"].encode())
            for _ in range(rng.integers(1, 4)):
                text[rng.integers(len(text))] = rng.choice(list(b'"0129[]{},:.-eE x\\'))
            header["__metadata__"]["dnn"] = text.decode("latin-1")
            return joined(header, rest)
        case 10:
            header, rest = split(data)
            text = json.dumps(header)
            key = rng.choice(list(header))
            return joined(f'{{"{key}":{json.dumps(header[key])},{text[1:]}'.encode(), rest)
        case _:
            header, rest = split(data)
            document = json.loads(header["__metadata__"]["dnn"])
            header["__metadata__"]["dnn"] = json.dumps(edit(rng, document))
            return joined(header, rest)


def originals(folder):
    """The bytes of a file of each kind."""
    found = []
    for make in saved_models.MODELS.values():
        make().save(Path(folder, "model"))
        found.append(Path(folder, "model").read_bytes())
    return found


def attack(seed, n, files):
    """Load n mutations; return how many gave a model, and what was raised otherwise, with its seed."""
    rng = np.random.default_rng(seed)
    n_loaded, failures, slowest = 0, [], 0.0
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder, "model")
        for i in range(n):
            data = mutated(rng, *(files[j] for j in rng.integers(len(files), size=2)))
            path.write_bytes(data)
            start = time.perf_counter()
            try:
                dnn.load(path)
                n_loaded += 1
            except ModelFormatError as error:
                assert len(str(error)) < 1000
            except BaseException:
                failures.append((seed, i, traceback.format_exc()))
            slowest = max(slowest, time.perf_counter() - start)
    return n_loaded, failures, slowest


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
    n_loaded, failures, slowest = 0, [], 0.0
    with concurrent.futures.ProcessPoolExecutor(given.processes) as pool:
        for loaded, failed, longest in pool.map(attack, seeds, [1000] * len(seeds), [files] * len(seeds)):
            n_loaded += loaded
            failures += failed
            slowest = max(slowest, longest)
    seconds = time.perf_counter() - start
    for seed, i, text in failures[:20]:
        print(f"seed {seed}, mutation {i}:\n{text}")
    n = 1000 * len(seeds)
    print(
        f"{n} mutations in {seconds:.0f} s, {n / seconds:.0f} per second; {n_loaded} loaded, "
        f"{n - n_loaded - len(failures)} refused, {len(failures)} failed; the slowest took {slowest:.3f} s"
    )
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
