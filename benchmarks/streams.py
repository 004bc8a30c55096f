"""Training on files that are read block by block: how fast is it, in how much memory, how well does it mix?

    python benchmarks/streams.py speed [--rows 30000] [--threads 2]
    python benchmarks/streams.py memory [--gigabytes 20]
    python benchmarks/streams.py sorted

speed: rows per second of ten epochs at 784-128-10 in memory, from arrays in blocks, Parquet and CSV, with 8
buffers in an epoch; the files are in the page cache. With a cache, the first epoch decodes and writes the
rows, and the later ones read them: the speed of both is also given. The contenders take turns; the figures
are medians. Also the least processor time per row of all threads, which depends less on what else the machine
does: with one thread for the training and two idle cores, the larger one of training and reading sets the
time.

memory: the peak of a process that trains 100-64-1 on a list of many times the same Parquet file, so that as
many bytes are read as the set has, above its size before the training.

sorted: accuracy on test rows after training on rows sorted by label, from blocks, and on the same rows in
memory, fully shuffled: MNIST and credit default, from the folder of data (see CONTRIBUTING.md).
"""

import argparse
import gzip
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from dnn import Adam, Network, Stream, sources

DATA = Path(os.environ.get("DNN_DATA", Path(__file__).parents[2] / "shared" / "data"))
GROUP = 2000  # rows of a row group
REPEATS, EPOCHS = 3, 10


def speed(given: argparse.Namespace) -> None:
    """Print the rows per second of each contender."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (given.rows, 784)) * (rng.random((given.rows, 784)) < 0.2)  # as in MNIST
    pixels = pixels.astype(np.uint8)
    y = rng.integers(0, 10, given.rows)
    columns = {**{f"p{i}": pixels[:, i] for i in range(784)}, "y": y}
    one = pa.Array.from_buffers(pa.binary(784), given.rows, [None, pa.py_buffer(pixels.tobytes())])
    with tempfile.TemporaryDirectory() as folder:
        files = [
            Path(folder) / name for name in ("columns.parquet", "bytes.parquet", "plain.parquet", "text.csv")
        ]
        pq.write_table(pa.table(columns), files[0], row_group_size=GROUP)
        how = {"use_dictionary": False, "compression": "none"}
        pq.write_table(pa.table({"X": one, "y": y}), files[1], row_group_size=GROUP, **how)
        plain = pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel(), pa.float32()), 784)
        pq.write_table(pa.table({"X": plain, "y": y}), files[2], row_group_size=GROUP, **how)
        pyarrow.csv.write_csv(pa.table(columns), files[3])
        X = pixels.astype(np.float32)
        kept = Path(folder) / "kept"
        plain = "without compression"
        contenders: dict[str, tuple[Any, Any]] = {
            "in memory": (None, None),
            "arrays in blocks": (sources.arrays(X, y), False),
            f"Parquet, a column of bytes, {plain}": (sources.parquet(files[1], "y"), False),
            f"Parquet, a column of lists of float32, {plain}": (sources.parquet(files[2], "y"), False),
            f"Parquet, a column of lists of float32, {plain}, cache": (sources.parquet(files[2], "y"), True),
            "Parquet, a column per pixel, cache": (sources.parquet(files[0], "y"), True),
            "Parquet, a column per pixel, a cache of before": (sources.parquet(files[0], "y"), kept),
            "CSV, cache": (sources.csv(files[3], "y"), True),
        }
        times: dict[str, list[np.ndarray]] = {name: [] for name in contenders}
        cpu: dict[str, list[np.ndarray]] = {name: [] for name in contenders}
        for repeat in range(-1, REPEATS):
            for name, (source, cache) in contenders.items():
                if repeat < 0 and cache != kept:
                    continue  # only the kept cache is filled before
                net = Network([784, 128, 10], output="softmax", random_state=0)
                examples = (X, y)
                if source is not None:
                    examples = (Stream(source, buffer_rows=given.rows // 8, cache=cache),)
                at = [(time.perf_counter(), time.process_time())]
                net.fit(
                    *examples, optimizer=Adam(1e-5), epochs=EPOCHS, n_threads=given.threads,
                    callbacks=[lambda event, at=at: at.append((time.perf_counter(), time.process_time()))],
                )  # fmt: skip
                if repeat >= 0:
                    wall, worked = np.diff(np.array(at), axis=0).T / given.rows  # seconds per row, by epoch
                    times[name].append(wall)
                    cpu[name].append(worked)
    base = statistics.median(wall.mean() for wall in times["in memory"])
    print(f"784-128-10, {given.rows} rows, {given.threads} threads, {os.cpu_count()} cores")
    for name, walls in times.items():
        ten = statistics.median(wall.mean() for wall in walls)
        first = statistics.median(wall[0] for wall in walls)
        later = statistics.median(float(np.median(wall[1:])) for wall in walls)
        of_first, of_later = min(each[0] for each in cpu[name]), min(each[1:].min() for each in cpu[name])
        print(f"{name}: {1 / ten:,.0f} rows/s, {base / ten:.2f} x in memory (the first epoch "
              f"{base / first:.2f} x, later ones {base / later:.2f} x); processor time per row: "
              f"{1e6 * of_later:.1f} us, in the first epoch {1e6 * of_first:.1f} us")  # fmt: skip


def memory(given: argparse.Namespace) -> None:
    """Print the peak of memory of an epoch on a set of this size."""
    rows, width = 200_000, 100
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        X = rng.standard_normal((rows, width), dtype=np.float32)
        columns = {**{f"x{i}": X[:, i] for i in range(width)}, "y": X[:, 0]}
        pq.write_table(
            pa.table(columns), path, row_group_size=20_000, compression="none", use_dictionary=False
        )
        n_files = max(1, round(given.gigabytes * 1e9 / path.stat().st_size))
        del X, columns
        net = Network([width, 64, 1], random_state=0)
        net.fit(sources.parquet(path, "y"), epochs=1, n_threads=given.threads)
        before = _resident()
        begin = time.perf_counter()
        history = net.fit(sources.parquet([path] * n_files, "y"), epochs=1, n_threads=given.threads)
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        read = n_files * path.stat().st_size
    print(f"{read / 1e9:.1f} GB, {history.n_rows[0]:,} rows in {seconds:.0f} s: peak {peak / 1e6:.0f} MB, "
          f"{before / 1e6:.0f} MB before")  # fmt: skip


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mnist() -> tuple[np.ndarray, ...]:
    def read(name: str, header: int) -> np.ndarray:
        with gzip.open(DATA / "mnist_idx" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    found = []
    for part in ("train", "t10k"):
        X = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
        found += [X, read(f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64)]
    return tuple(found)


def credit_default() -> tuple[np.ndarray, ...]:
    table = np.genfromtxt(DATA / "credit_default" / "UCI_Credit_Card.csv", delimiter=",", skip_header=1)
    table = table[np.random.default_rng(0).permutation(len(table))]
    X, y = table[:, 1:-1], table[:, -1].astype(np.int64)
    X = np.sign(X) * np.log1p(np.abs(X))
    X = ((X - X[:24_000].mean(axis=0)) / X[:24_000].std(axis=0)).astype(np.float32)
    return X[:24_000], y[:24_000], X[24_000:], y[24_000:]


SORTED = {
    "MNIST": (mnist, [784, 128, 10], 6, 1000),
    "credit default": (credit_default, [23, 32, 2], 10, 500),
}


def sorted_rows(given: argparse.Namespace) -> None:
    """Print accuracies after training on rows in a full shuffle, and on sorted rows in blocks."""
    for name, (read, sizes, epochs, block_rows) in SORTED.items():
        X, y, X_test, y_test = read()
        order = np.argsort(y, kind="stable")
        X, y = X[order], y[order]
        buffer_rows = len(X) // 10
        contenders: dict[str, tuple[Any, ...]] = {"full shuffle": (X, y)}
        for rows in (len(X), block_rows, block_rows // 10):
            source = Stream(sources.arrays(X, y, block_rows=rows), buffer_rows=buffer_rows)
            contenders[f"{source.source.n_blocks} blocks, buffers of a tenth"] = (source,)
        for what, examples in contenders.items():
            scores = []
            for seed in range(given.seeds):
                net = Network(sizes, output="softmax", random_state=seed)
                net.fit(*examples, epochs=epochs, n_threads=given.threads)
                scores.append(100 * np.mean(net(X_test).argmax(axis=1) == y_test))
            spread = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
            print(
                f"{name}, {epochs} epochs, {what}: {np.mean(scores):.2f} % (spread {spread:.2f})", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("question", choices=["speed", "memory", "sorted"])
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    {"speed": speed, "memory": memory, "sorted": sorted_rows}[given.question](given)


if __name__ == "__main__":
    main()
