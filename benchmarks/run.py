"""Run all benchmarks, one after the other: print tables, write a JSON file, pictures, and the page in docs.

The folder receives the pictures and benchmarks.json, which has for each benchmark the machine, the versions,
the options, and the figures with every single time. Running a benchmark again replaces its former results
there and keeps the others.

    python benchmarks/run.py [--quick] [--full] [--questions training,memory] [--folder build/benchmarks]
    python benchmarks/run.py --page               measure, then write the tables and pictures into docs
    python benchmarks/run.py --page --no-measuring    write the results in the folder into docs
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import c_source
import custom_loop
import gil
import measuring
import memory
import piecewise
import prediction
import products
import scaling
import sparse
import start
import threads
import training

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
QUESTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "training": (training, {}),
    "training_float64": (training, {"float64": True, "contenders": "dnn,scikit-learn,PyTorch,JAX,NumPy"}),
    "training_avx2": (training, {"isa": "avx2", "contenders": "dnn,scikit-learn,PyTorch,JAX,NumPy"}),
    "prediction": (prediction, {}),
    "products": (products, {}),
    "scaling": (scaling, {}),
    "threads": (threads, {}),
    "gil": (gil, {}),
    "custom_loop": (custom_loop, {}),
    "memory": (memory, {}),
    "c_source": (c_source, {}),
    "sparse": (sparse, {}),
    "piecewise": (piecewise, {}),
    "start": (start, {}),
}
PICTURES = ("training", "prediction", "scaling")  # variants of training would overwrite its picture


def ask(name: str, options: argparse.Namespace) -> dict[str, Any]:
    question, changes = QUESTIONS[name]
    options = copy.copy(options)
    for key, value in changes.items():
        # The user's --contenders take precedence; without them, a variant measures fewer contenders.
        if getattr(options, key, None) is None or key != "contenders":
            setattr(options, key, value)
    with measuring.Pool(options) as pool:
        about = measuring.machine(pool)
        print(f"{name}: {measuring.describe_machine(about)}", flush=True)
        figures = question.measure(pool, options)
    used = {key: getattr(options, key) for key in ("quick", "full", "repeats", "seconds", "isa")}
    return {"machine": about, "options": used, "figures": figures}


def ratio(answers: dict[str, Any]) -> str:
    """Return a table of the ratios of dnn's time in float64 to that in float32, both from this folder."""
    single, double = (answers.get(name, {}).get("figures", []) for name in ("training", "training_float64"))
    body = []
    for f in single:
        for g in double:
            single_time, double_time = measuring.best(f, "dnn"), measuring.best(g, "dnn")
            if f["network"] == g["network"] and single_time and double_time:
                body.append([training.describe(f), measuring.digits(double_time[0] / single_time[0])])
    return measuring.markdown(["dnn", "float64 / float32"], body) if body else ""


def write_page(answers: dict[str, Any]) -> None:
    page = PAGE.read_text()
    texts = {name: QUESTIONS[name][0].table(answer["figures"]) for name, answer in answers.items()}
    if "training_float64" in texts:
        texts["training_float64"] += "\n\n" + ratio(answers)
    if answers:
        first = answers.get("training") or next(iter(answers.values()))
        texts["machine"] = "\n".join(
            f"- {key}: "
            + (", ".join(f"{k} {v}" for k, v in value.items()) if key == "versions" else str(value))
            for key, value in first["machine"].items()
        )
    for name, text in texts.items():
        page, found = re.subn(
            rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)",
            lambda match, text=text: f"{match[1]}{text.strip()}\n{match[2]}",
            page,
            flags=re.DOTALL,
        )
        if found != 1:
            raise SystemExit(f"{PAGE} must have one section marked 'begin {name}', found {found}")
    PAGE.write_text(page)


def main() -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--questions", help=f"a comma-separated selection of {', '.join(QUESTIONS)}")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--page", action="store_true", help="write the tables and pictures into docs")
    parser.add_argument("--no-measuring", action="store_true", help="use the results in the folder")
    options = measuring.options_of(parser)
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.json or options.folder / "benchmarks.json"
    answers = json.loads(file.read_text()) if file.exists() else {}
    names = options.questions.split(",") if options.questions else list(QUESTIONS)
    for name in names if not options.no_measuring else []:
        if name not in QUESTIONS:
            raise SystemExit(f"--questions must be from {', '.join(QUESTIONS)}, got {name!r}")
        begin = time.perf_counter()
        answers[name] = ask(name, options)
        file.write_text(json.dumps(answers, indent=1))
        print(f"\n{QUESTIONS[name][0].table(answers[name]['figures'])}\n")
        print(f"{name} took {measuring.duration(time.perf_counter() - begin)}\n", flush=True)
    folders = [options.pictures or options.folder] + [ROOT / "docs" / "pictures"] * options.page
    for folder in folders:
        for name in PICTURES:
            if name in answers:
                measuring.draw(QUESTIONS[name][0], answers[name]["figures"], folder)
    print(f"figures: {file}; pictures: {', '.join(map(str, folders))}")
    if options.page:
        write_page(answers)
        print(f"page: {PAGE}")


if __name__ == "__main__":
    main()
