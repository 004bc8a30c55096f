"""A model as C source: one C99 file and its header, which need no library but that of mathematics."""

from __future__ import annotations

import os
import re
import string
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from .._checks import check_boolean
from ..files.writing import replacing
from .c_compiler import compare
from .stack import Stack, stack_of

# A file of this name would take the place of the compiler's own header
STANDARD_HEADERS = re.compile(
    "assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdarg|stdbool|"
    "stddef|stdint|stdio|stdlib|string|tgmath|time|wchar|wctype"
)


@dataclass(frozen=True)
class CSource:
    """What `to_c` has written.

    Attributes
    ----------
    source, header : pathlib.Path
    verified : bool
        Whether the source was compiled and run, and gave the outputs that Python gives.
    compiler : str or None
        The compiler that was used for that.
    largest_difference : float or None
        The largest difference from Python, relative to the size of the outputs.
    """

    source: Path
    header: Path
    verified: bool
    compiler: str | None = None
    largest_difference: float | None = None


def to_c(model: Any, path: str | os.PathLike[str], name: str | None = None, verify: bool = True) -> CSource:
    """Write the C source of a network or fitted estimator: see `dnn.exports.Exports.to_c`.

    Examples
    --------
    >>> import tempfile
    >>> from dnn import Network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = to_c(Network([4, 8, 2]), f"{folder}/pole.c", verify=False)
    ...     sorted(os.listdir(folder)), written.verified
    (['pole.c', 'pole.h'], False)
    """
    source, name = _place(path, name)
    check_boolean("verify", verify)
    stack = stack_of(model)
    check_finite(stack)
    text = Text(stack, name, source.stem)
    texts = {".h": text.header(), ".c": text.source()}
    compiler, difference = compare(stack, name, source.stem, texts) if verify else (None, None)
    with replacing(*(source.with_suffix(suffix) for suffix in texts)) as files:
        for file, content in zip(files, texts.values(), strict=True):
            file.write(content.encode("ascii"))
    return CSource(source, source.with_suffix(".h"), difference is not None, compiler, difference)


def _place(path: Any, name: Any) -> tuple[Path, str]:
    """Return where the source is written and what its functions are called, checked."""
    try:
        source = Path(path)
    except TypeError:
        raise TypeError(f"path must be the path of a .c file, got {path!r}") from None
    if source.suffix != ".c":
        raise ValueError(f"path must end in .c, got {str(source)!r}")
    if not re.fullmatch("[A-Za-z0-9_.+-]+", source.stem):
        raise ValueError(f"path must have a file name of letters, digits, _ . + and -, got {str(source)!r}")
    if STANDARD_HEADERS.fullmatch(source.stem):
        raise ValueError(f"path must not have the name of C's own {source.stem}.h, got {str(source)!r}")
    for file in (source, source.with_suffix(".h")):
        if file.is_dir():
            raise IsADirectoryError(f"path must be a file, got {str(source)!r}, and {file.name} is a folder")
    if not source.parent.is_dir():
        raise FileNotFoundError(f"path must be in a folder that exists, got {str(source)!r}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string or None, got {name!r}")
    taken = source.stem if name is None else name
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", taken):
        what = "name" if name is not None else "the file name of path, where no name is given,"
        raise ValueError(f"{what} must be a C identifier (letters, digits, _; no digit first), got {taken!r}")
    return source, taken


# The text. $real is float or double; $f ends the constants and the functions of libm of that precision.

# Pairs of products are added before the sum, whose additions wait for each other. gcc and clang make vector
# code of the inner loops over k and keep s in registers; they would not with one more loop over s[2][WIDTH].
# No loop only copies or only clears: compilers call memcpy and memset for those, which a device may lack.
DENSE = """\
/* z (n_out) = x (n_in) W + b, W (n_in, n_out) by rows: WIDTH outputs at a time, whose sums s stay in
 * registers while the inputs are added in pairs. */
#define ${NAME}_BLOCK(WIDTH) \\
    for (; n_out - j >= WIDTH; j += WIDTH) { \\
        const $real *w = W + j; \\
        $real s[WIDTH]; \\
        int i = 1; \\
        for (int k = 0; k < WIDTH; k++) \\
            s[k] = x[0] * w[k]; \\
        for (w += n_out; i < n_in - 1; i += 2, w += 2 * n_out) \\
            for (int k = 0; k < WIDTH; k++) \\
                s[k] += x[i] * w[k] + x[i + 1] * w[n_out + k]; \\
        if (i < n_in) \\
            for (int k = 0; k < WIDTH; k++) \\
                s[k] += x[i] * w[k]; \\
        for (int k = 0; k < WIDTH; k++) \\
            z[j + k] = s[k] + b[j + k]; \\
    }

static void ${name}_dense(const $real *x, int n_in, const $real *W, const $real *b, int n_out, $real *z)
{
    int j = 0;
    ${NAME}_BLOCK($wide)
    ${NAME}_BLOCK($half)
    ${NAME}_BLOCK(8)
    ${NAME}_BLOCK(1)
}
#undef ${NAME}_BLOCK
"""

# Each as in core/kernels/activations.h: no digits are lost, NaN stays NaN, infinities give the limits.
ACTIVATIONS = {
    "relu": ("", "return z < 0 ? 0 : z;"),
    "leaky_relu": ("slope", "return z < 0 ? slope * z : z;"),
    "sigmoid": ("", "const $real e = exp$f(z < 0 ? z : -z);\nreturn (z < 0 ? e : 1) / (1 + e);"),
    "tanh": ("", "return tanh$f(z);"),
    "elu": ("alpha", "return z < 0 ? alpha * expm1$f(z) : z;"),
    "selu": ("", "return z < 0 ? 1.7580993408473766$f * expm1$f(z) : 1.0507009873554805$f * z;"),
    "gelu": (
        "",
        "z = z < -40 ? -40 : z; /* there it is 0 */\nreturn 0.5$f * z * erfc$f(-0.70710678118654752$f * z);",
    ),
    "gelu_tanh": (
        "",
        "z = z < -40 ? -40 : z; /* there it is 0 */\n"
        "const $real w = z * (1.5957691216057308$f + 0.071354816272600241$f * (z * z));\n"
        "const $real e = exp$f(w < 0 ? w : -w);\n"
        "return (z < 0 ? z * e : z) / (1 + e);",
    ),
    "silu": (
        "",
        "z = z < -1000 ? -1000 : z; /* there it is 0 */\n"
        "const $real e = exp$f(z < 0 ? z : -z);\n"
        "return (z < 0 ? z * e : z) / (1 + e);",
    ),
    "mish": (
        "",
        "z = z < -1000 ? -1000 : z; /* there it is 0 */\n"
        "const $real e = exp$f(z < 0 ? z : -z);\n"
        "const $real c0 = z < 0 ? 2 : 1, c2 = z < 0 ? 1 : 2;\n"
        "return (z < 0 ? z * e : z) * ((c0 + c2 * e) / (c0 + e * (2 + c2 * e)));",
    ),
    "softplus": ("", "return (z < 0 ? 0 : z) + log1p$f(exp$f(z < 0 ? z : -z));"),
    "exp": ("", "return exp$f(z);"),
}

# The core sums in double, which a small device computes slowly; a sum of many classes loses digits in float
SOFTMAX = """\
static void ${name}_softmax($real *z, int n)
{
    $real top = z[0], sum = 0, lost = 0; /* lost: by rounding the sum */
    for (int i = 1; i < n; i++)
        top = z[i] > top ? z[i] : top;
    for (int i = 0; i < n; i++) {
        const $real before = sum;
        z[i] = exp$f(z[i] - top);
        sum += z[i];
        lost += z[i] - (sum - before);
    }
    sum += lost;
    for (int i = 0; i < n; i++)
        z[i] /= sum;
}
"""

SORT = """\
static void ${name}_sort($real *y, int n)
{
    for (int i = 1; i < n; i++) {
        const $real value = y[i];
        int k = i;
        for (; k > 0 && y[k - 1] > value; k--)
            y[k] = y[k - 1];
        y[k] = value;
    }
}
"""

# A compiler without libm has no math.h either: clang --target=wasm32, or -ffreestanding
LIBM = """\
#if __STDC_HOSTED__ && (!defined(__wasm__) || defined(__wasi__) || defined(__EMSCRIPTEN__))
#include <math.h>
#else /* whoever links this file provides them */
#ifdef __cplusplus
extern "C" {
#endif
$prototypes
#ifdef __cplusplus
}
#endif
#endif
"""

HEADER = """\
/* $file.h: a dense network of layers $sizes, written by dnn $version.
 *
 * $about
 * x and y must not overlap, and the inputs must be scaled as they were in training.
 *
 * Nothing is allocated and no state is kept: many threads may call these functions at once. A call takes less
 * than $bytes bytes of stack.
 */
#ifndef ${NAME}_H
#define ${NAME}_H

#define ${NAME}_N_INPUTS $n_inputs
#define ${NAME}_N_OUTPUTS $n_outputs

#ifdef __cplusplus
extern "C" {
#endif

void ${name}_predict(const $real *x, $real *y);
$more
#ifdef __cplusplus
}
#endif

#endif
"""

# What predict writes, and the body of classify, for each kind of stack
PROBABILITIES = "the probability y (${NAME}_N_OUTPUTS) of each class"
PREDICT = {
    "outputs": "the outputs y (${NAME}_N_OUTPUTS) of the network",
    "quantiles": "the quantiles y (${NAME}_N_OUTPUTS), in rising order,",
    "multilabel": "the probability y (${NAME}_N_OUTPUTS) of each label",
    **dict.fromkeys(("one_class", "binary", "multiclass"), PROBABILITIES),
}
CLASSIFY = {
    "one_class": "    (void)x;\n    return 0;\n",
    "binary": "    $real y[2];\n    ${name}_predict(x, y);\n    return y[1] > 0.5$f;\n",
    "multiclass": (
        "    $real y[${NAME}_N_OUTPUTS];\n    int best = 0;\n    ${name}_predict(x, y);\n"
        "    for (int k = 1; k < ${NAME}_N_OUTPUTS; k++)\n        best = y[k] > y[best] ? k : best;\n"
        "    return best;\n"
    ),
}


def n_predictions(stack: Stack) -> int:
    """Return the number of values that predict writes: of a classifier a probability for each class."""
    return len(stack.classes) if stack.classes is not None else stack.n_outputs


def in_precision(par: tuple[float, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return the parameters of an activation as the core rounds them."""
    with np.errstate(over="ignore"):
        return np.asarray(par).astype(dtype)


def check_finite(stack: Stack) -> None:
    """Raise ValueError where C could not write a weight."""
    for number, layer in enumerate(stack.layers):
        par = in_precision(layer.par, stack.dtype)
        for what, values in (("weights", layer.W), ("biases", layer.b), ("activation parameters", par)):
            bad = values[~np.isfinite(values)]
            if len(bad):
                raise ValueError(f"{what} of layer {number} must be finite in {stack.dtype}, got {bad[0]}")


class Text:
    """The text of the source and of the header.

    Parameters
    ----------
    stack : Stack
    name : str
        What all identifiers begin with.
    file : str
        Name of the header, without its suffix.
    """

    def __init__(self, stack: Stack, name: str, file: str) -> None:
        self.stack, self.file = stack, file
        self.layers = () if stack.kind == "one_class" else stack.layers
        widths = [len(layer.b) for layer in self.layers]
        self.buffers = [max(widths[start:-1:2], default=0) for start in (0, 1)]
        self.suffix = "f" if stack.dtype == np.float32 else ""
        on_stack = (sum(self.buffers) + n_predictions(stack)) * stack.dtype.itemsize
        self.values = {
            "name": name,
            "NAME": name.upper(),
            "file": file,
            "real": "float" if self.suffix else "double",
            "f": self.suffix,
            "wide": "64" if self.suffix else "32",  # sums in eight of the sixteen registers of AVX2
            "half": "32" if self.suffix else "16",
            "version": version("dnn-core"),
            "sizes": "-".join(map(str, [stack.n_inputs, *(len(layer.b) for layer in stack.layers)])),
            "n_inputs": str(stack.n_inputs),
            "n_outputs": str(n_predictions(stack)),
            "bytes": str(on_stack + 1024),  # what gcc and clang need, by -fstack-usage
        }

    def fill(self, text: str, **more: str) -> str:
        """Return a text with its places filled."""
        return Template(text).substitute(self.values, **more)

    def header(self) -> str:
        """Return the text of the header."""
        more = ""
        about = f"${{name}}_predict writes {PREDICT[self.stack.kind]} for the inputs x (${{NAME}}_N_INPUTS)."
        if self.stack.kind in CLASSIFY:
            more += "int ${name}_classify(const $real *x);\n"
            about += "\n * ${name}_classify returns the index of the predicted class"
            about += ", from 0." if not self.classes() else ", in ${name}_classes."
        if self.classes():
            more += "extern const char *const ${name}_classes[${NAME}_N_OUTPUTS];\n"
        return self.fill(HEADER, about=self.fill(about), more=self.fill(more))

    def source(self) -> str:
        """Return the text of the source."""
        parts = [self.fill(DENSE)] if self.layers else []
        parts += self.functions()
        for number, layer in enumerate(self.layers):
            parts.append(self.constant(f"W{number}", layer.W) + self.constant(f"b{number}", layer.b))
        if self.classes():
            names = "".join(f"    {literal(label)},\n" for label in self.classes())
            parts.append(
                self.fill("const char *const ${name}_classes[${NAME}_N_OUTPUTS] = {\n$names};\n", names=names)
            )
        parts.append(
            self.fill("void ${name}_predict(const $real *x, $real *y)\n{\n$steps}\n", steps=self.steps())
        )
        if self.stack.kind in CLASSIFY:
            parts.append(
                self.fill("int ${name}_classify(const $real *x)\n{\n" + CLASSIFY[self.stack.kind] + "}\n")
            )
        text = "\n".join(parts)
        used = sorted(set(re.findall(r"\b(?:exp|expm1|erfc|log1p|tanh)f?(?=\()", text)))
        if used:
            prototypes = "\n".join(self.fill(f"$real {function}($real);") for function in used)
            text = self.fill(LIBM, prototypes=prototypes) + "\n" + text
        about = '/* $file.c: see $file.h. Written by dnn $version. */\n#include "$file.h"\n\n'
        return self.fill(about) + text

    def functions(self) -> Iterator[str]:
        """Yield the functions that the layers and the outputs need, each once."""
        for activation in dict.fromkeys(layer.activation for layer in self.layers):
            if activation == "softmax":
                yield self.fill(SOFTMAX)
            elif activation != "identity":
                par, body = ACTIVATIONS[activation]
                head = f"static $real ${{name}}_{activation}($real z{f', $real {par}' if par else ''})"
                yield self.fill(f"{head}\n{{\n{textwrap.indent(body, '    ')}\n}}\n")
        if self.stack.kind == "quantiles":
            yield self.fill(SORT)

    def steps(self) -> str:
        """Return the body of predict."""
        if not self.layers:
            return "    (void)x;\n    y[0] = 1;\n"
        named = [(buffer, n) for buffer, n in zip("pq", self.buffers, strict=True) if n]
        lines = ["$real " + ", ".join(f"{buffer}[{n}]" for buffer, n in named) + ";"] if named else []
        here = "x"
        for number, layer in enumerate(self.layers):
            there = "y" if number == len(self.layers) - 1 else "pq"[number % 2]
            (n_in, n_out), activation = layer.W.shape, layer.activation
            weights = f"${{name}}_W{number}, ${{name}}_b{number}"
            lines.append(f"${{name}}_dense({here}, {n_in}, {weights}, {n_out}, {there});")
            par = "".join(
                ", " + self.number(value) for value in in_precision(layer.par, self.stack.dtype).tolist()
            )
            if there == "y" and self.stack.kind == "binary":
                lines += ["y[1] = ${name}_sigmoid(y[0]);", "y[0] = ${name}_sigmoid(-y[0]);"]
            elif activation == "softmax":
                lines.append(f"${{name}}_softmax({there}, {n_out});")
            elif activation != "identity":
                lines.append(f"for (int i = 0; i < {n_out}; i++)")
                lines.append(f"    {there}[i] = ${{name}}_{activation}({there}[i]{par});")
            here = there
        if self.stack.kind == "quantiles":
            lines.append("${name}_sort(y, ${NAME}_N_OUTPUTS);")
        return "".join(f"    {self.fill(line)}\n" for line in lines)

    def number(self, value: float) -> str:
        """Return a constant that C reads to the same bits.

        Nine decimal digits are enough for that in float32, 17 in float64. Hexadecimal constants would need
        fewer, but C++ has them since 2017 only, and nobody can read them.
        """
        return (f"{value:#.9g}f") if self.suffix else f"{value:#.17g}"

    def constant(self, what: str, values: np.ndarray) -> str:
        """Return an array of weights, in C order."""
        numbers = [self.number(value) for value in values.ravel().tolist()]
        lines = (", ".join(numbers[start : start + 8]) for start in range(0, len(numbers), 8))
        shape = " x ".join(map(str, values.shape))
        body = ",\n    ".join(lines)
        head = self.fill("static const $real ${name}_") + f"{what}[{len(numbers)}]"
        return f"{head} = {{ /* {shape} */\n    {body}}};\n"

    def classes(self) -> list[Any]:
        """Return the labels, or none where each is its own index."""
        if self.stack.kind not in CLASSIFY or self.stack.classes is None:
            return []
        labels: list[Any] = self.stack.classes.tolist()
        return [] if labels == list(range(len(labels))) else labels


def literal(label: Any) -> str:
    r"""Return the string of a label as C reads it: UTF-8, of which only plain ASCII is written as it is.

    Examples
    --------
    >>> print(literal('a "?"'))
    "a \042\077\042"
    """
    plain = set(string.ascii_letters + string.digits + " _-+*/.,:;=()[]<>!@#$%&|^~'{}`")
    bytes_ = str(label).encode("utf-8", "backslashreplace")
    return '"' + "".join(chr(b) if chr(b) in plain else f"\\{b:03o}" for b in bytes_) + '"'
