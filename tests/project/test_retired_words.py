"""Words that the project no longer uses do not come back: each failure says which word to write instead."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Names, retired and standard: whole words, and between underscores too if they are in lower case.
NAMES = {
    "a_epoch": "steps_per_epoch",
    "a_chunk": "steps_per_chunk",
    "a_tile": "rows_per_tile",
    "train_schedule": "training_layout",
    "lying": "feature_major",
    "lay_rows": "transpose_batch",
    "lay_weights": "transpose_weights",
    "private_step": "replicated_step",
    "N_PARTS": "N_SHARDS",
    "DNN_PLAIN": "EPILOGUE_NONE",
    "DNN_SPARE": "WORKSPACE_BYTES",
    "DNN_FEW": "STREAM_ROWS_MAX",
    "DNN_L1_WAY": "L1_ALIAS_BYTES",
    "COPIED": "PACK_A_BYTES",
    "FITS": "HEIGHT_FITS",
    "TAKEN": "TAKE_BLOCK",
    "FETCHES": "PREFETCHES_B",
    "turned": "transposed",
    "spare": "workspace",
    "muster": "start_team",
    "dismiss": "stop_team",
    "listen": "poll_signals",
    "heard": "last_poll",
    "unheard": "flops_since_poll",
    "abandoned": "interrupted",
    "only_by_steps": "_partial_fit",
    "own_loss": "call_custom_loss",
    "ones_own": "custom, or your own",
    "Perceptron": "BaseMLP",
    "Keeper": "Checkpoint",
    "breadth": "the subject",
    "door": "validation, or input checks",
    "doors": "validation, or input checks",
    "suffices": "examples",
}
# Classes, whose names are ordinary words elsewhere.
CLASSES = {
    "Answers": "SmallBatchPredictor",
    "Bound": "ArrayRef",
    "Descent": "PortableOptimizer",
    "Divided": "RescaledLossTrainer",
    "Guard": "WriteLock",
    "Pace": "SklearnLearningRate",
    "Parameters": "ParameterMixin",
    "Reader": "SparseTrainer",
    "Rule": "StoppingRule",
    "Rules": "FitOptions",
    "Steps": "Trainer",
    "Watch": "EpochEnd",
    "Way": "KernelChoice",
    "_Orders": "EpochOrders",
}
# Names of arguments and files, as they are written in code.
CODE = {
    "scores=True": "logits=True",
    "values.py": "_frozen.py",
    "rows.Rows": "SparseRows",
    "class Schedule(NamedTuple)": "Layout",
}
PHRASES = {
    "a epoch": "per epoch",
    "as there": "scikit-learn does the same",
    "at the door": "on entry",
    "but for": "except for",
    "customs house": "validation",
    "draw away": "robust to",
    "as a core that others use as well": "because another process may be using that core",
    "names the slip": "points to the likely mistake",
    "nobody asked": "all sample weights are zero",
    "of one's own": "custom, or your own",
    "take turns, to and fro": "are timed alternately",
    "theirs": "scikit-learn's, or what the word stands for",
    "to and fro": "in the same order, or alternately",
    "what is there": "features",
    "what is otherwise": "differences",
    "what is wanted": "what is expected, or requested",
    "what was wanted": "what was expected",
}
# "as many as there are" is ordinary English.
ORDINARY = r"(?! (?:is|are|was|were)\b)"
# Names that are retired in the sources of the core, and are ordinary words elsewhere.
IN_CORE = {
    "DEPTH": "KC",
    "WIDE": "GEMV_VECTORS",
    "aim": "bind",
    "answer": "predict",
    "dots": "inner_product",
    "feeds": "useful_members",
    "finish": "epilogue",
    "lay": "transpose",
    "magnitude": "abs_",
    "private": "replicated",
    "push": "signed_step",
    "want": "set",
}


def pattern_of(word):
    """Return the regular expression that finds a word; a line may end between the words of a phrase."""
    if word in CLASSES:
        return re.compile(rf"\bclass {word}\b|(?<![\w.]){word}\(")
    if word in PHRASES:
        words = re.escape(word).replace(r"\ ", r"\s+(?:[#*]+\s+)?")
        return re.compile(rf"\b{words}\b{ORDINARY if word == 'as there' else ''}", re.IGNORECASE)
    inner = "A-Za-z0-9_" if word.isupper() else "A-Za-z0-9"
    return re.compile(rf"(?<![{inner}]){re.escape(word)}(?![{inner}])")


STANDARD = NAMES | CLASSES | CODE | PHRASES | IN_CORE
PATTERNS = {word: pattern_of(word) for word in STANDARD}


def retired(text, in_core=False):
    """Return the retired words of a text: (number of the line, word, standard)."""
    lower = text.lower()
    found = [
        (text.count("\n", 0, match.start()) + 1, word, STANDARD[word])
        for word, pattern in PATTERNS.items()
        if (in_core or word not in IN_CORE) and word.split()[0].lower() in lower  # which is faster to see
        for match in pattern.finditer(text)
    ]
    return sorted(found)


def searched():
    """Yield the text files of the checkout, except for the changelog, this file and generated files."""
    roots = ("src", "tests", "benchmarks", "docs", "examples", ".ci")
    single = ("README.md", "CONTRIBUTING.md", "Makefile", "MANIFEST.in", "pyproject.toml", "setup.py")
    suffixes = {".py", ".pyi", ".pyx", ".pxi", ".h", ".c", ".md", ".rst", ".css", ".html", ""}
    built = {"build", "generated", "gallery", "__pycache__"}
    for path in [*(ROOT / name for name in single), *(p for name in roots for p in (ROOT / name).rglob("*"))]:
        parts = path.relative_to(ROOT).parts
        left_out = built & set(parts) or any(part.endswith(".egg-info") for part in parts)
        if path.is_file() and path.suffix in suffixes and not left_out and path != Path(__file__):
            yield path


def test_no_retired_word_comes_back():
    if not (ROOT / "src").is_dir():
        pytest.skip("needs the sources beside the tests")
    package = ROOT / "src" / "dnn"
    core = {package / "_core.pyx", *(package / "core").rglob("*")}
    found = []
    for path in searched():
        name = path.relative_to(ROOT)
        found += [
            f"{name}:{line}: {word!r} is retired, write: {standard}"
            for line, word, standard in retired(path.read_text(encoding="utf-8"), in_core=path in core)
        ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("word", STANDARD)
def test_a_retired_word_is_found(word):
    text = f"first line\nclass {word}:\n" if word in CLASSES else f"first line\nsome {word} here\n"
    assert (2, word, STANDARD[word]) in retired(text, in_core=word in IN_CORE)
    assert not retired(STANDARD[word], in_core=True)


def test_ordinary_words_are_not_found():
    assert not retired("as many rows as there are classes, underlying, a doorway, Parameters: X, self.rule()")
    assert retired("a custom\n    # loop of one's\n    # own") == [
        (2, "of one's own", STANDARD["of one's own"])
    ]
