"""The complete programs of the folder examples/: what the networks of the course grow into.

A program is one file with three functions: ``main(quick, seed)`` trains and returns the results, ``tell``
describes them in words, and ``draw`` draws them. The wheel contains the files as ``dnn/examples``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import dnn

# Name and description of each program, in the order of the page "Where to go from here"
PROGRAMS: dict[str, str] = {
    "rbm": "a restricted Boltzmann machine: features without labels, and what it imagines",
    "autoencoder": "a picture as eight values: neighbours, analogies, ways from one to another",
    "vae": "a variational autoencoder: a distribution over digits, and new ones (MNIST)",
    "gan": "a generative adversarial network: how it fails, and what helps",
    "capsules": "dense capsules with routing by agreement, and what their dimensions mean (MNIST)",
    "feedback-alignment": "learning with random feedback weights, next to backpropagation (MNIST)",
    "words": "a classifier of raw text: hashed words, and what the network looks at",
    "language-model": "the next word: a neural language model, and neighbours of words",
    "policy-gradient": "REINFORCE balances a pole, with and without a baseline",
    "ppo": "proximal policy optimization balances a pole",
    "dqn": "a deep Q-network balances a pole",
    "bodies": "the same learner in other bodies",
    "safe-cart": "a cart that learns within a limit on crashes",
    "cats": "cat or not cat: what helps with 209 pictures",
    "tones": "the keys of a telephone, heard in noise",
}


def folder() -> Path:
    """Return the folder of the programs: that of the wheel, or that of the checkout.

    Raises
    ------
    FileNotFoundError
        If neither exists.
    """
    package = Path(dnn.__file__).parent
    for found in (package / "examples", package.parents[1] / "examples"):
        if (found / "mnist.py").is_file():
            return found
    raise FileNotFoundError(f"the folder examples is not in {package}: install dnn again")


def program(name: str) -> Any:
    """Return the module of a program. Its folder is put on the path, as if the file were run.

    Parameters
    ----------
    name : str
        One of `PROGRAMS`.
    """
    place = str(folder())
    if place not in sys.path:
        sys.path.insert(0, place)
    return import_module(name.replace("-", "_"))


def run(name: str, out: Path, quick: bool = False) -> None:
    """Run a program, print its results, and write the picture ``dnn-NAME.png`` to a folder.

    Parameters
    ----------
    name : str
        One of `PROGRAMS`.
    out : Path
        The folder for the picture; it must exist.
    quick : bool, default False
        Whether to do only as much work as a test needs.
    """
    module = program(name)
    found = module.main(quick=quick)
    print(module.tell(found))
    path = out / f"dnn-{name}.png"
    module.draw(found).savefig(path, dpi=150)
    print(f"\nPicture: {path}")
