"""The code of documentation pages, and the output that the pages show."""

import contextlib
import io
import re

PYTHON = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")


def blocks(text):
    """Return the Python blocks of a page in Markdown, each with the output that follows it, or None."""
    return [(code, said or None) for code, said in PYTHON.findall(text)]


def check_output(printed, said, within=0.05):
    """Raise unless both have the same words, and numbers that differ no more than between processors.

    A number with a decimal point may differ by `within`, or that share of it; an integer may not differ.
    """
    words = [re.sub(r"\s+", " ", NUMBER.sub("#", text)).strip() for text in (printed, said)]
    assert words[0] == words[1], f"printed:\n{printed}\nthe page says:\n{said}"
    found, stated = (NUMBER.findall(text) for text in (printed, said))
    for one, other in zip(found, stated, strict=True):
        a, b = (float(number.replace(",", "")) for number in (one, other))
        allowed = within * max(1, abs(b)) if "." in other else 0
        assert abs(a - b) <= allowed, f"printed {one}, the page says {other}"


def run(text, name="page"):
    """Run the blocks of a page in one namespace, and compare their output with that on the page."""
    names = {}
    for number, (code, said) in enumerate(blocks(text), 1):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"{name}, block {number}", "exec"), names)
        if "print(" in code:
            assert said is not None, f"{name}, block {number} prints, and the page does not say what"
        if said is not None:
            check_output(out.getvalue(), said)
    return names
