"""Print for pip the oldest version that pyproject.toml allows of each package that dnn or its tests use."""

import re
import tomllib
from pathlib import Path

# Packages of the extra dev that no quick test imports, or that take long to install
LEFT_OUT = {"build", "cython", "optuna", "setuptools"}


def lower_bounds(pyproject: Path) -> list[str]:
    """Return requirements such as 'numpy==2.0', sorted; those of a fixed version and extras are left out."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["sklearn"], *extras["plot"], *extras["all"], *extras["dev"]]
    found = {match[1]: match[2] for each in wanted if (match := re.fullmatch(r"([\w-]+)>=([\d.]+)", each))}
    return sorted(f"{name}=={version}" for name, version in found.items() if name not in LEFT_OUT)


if __name__ == "__main__":
    print("\n".join(lower_bounds(Path(__file__).parents[1] / "pyproject.toml")))
