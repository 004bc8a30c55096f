"""Sphinx: numpydoc, the theme of the scientific stack, a gallery of demonstrations. Needs no network."""

import ast
import html
import inspect
import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import drawings  # noqa: E402, next to this file
from sphinx_gallery import backreferences  # noqa: E402

import dnn  # noqa: E402
from dnn import demos  # noqa: E402
from dnn.course import compiled, loops, vectorized  # noqa: E402

project = "dnn"
version = release = dnn.__version__
copyright = "the dnn authors"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["generated/parts", "gallery/*.py"]
templates_path = ["_templates"]
default_role = "py:obj"
suppress_warnings = ["config.cache"]  # a scraper in the configuration is a function
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_selector = "div:not(.sphx-glr-script-out):not(.highlight-text) > div.highlight > pre"

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"dnn {version}"
html_static_path = ["_static"]
html_css_files = ["dnn.css"]
html_show_sourcelink = False
html_copy_source = False
# The course page needs the full width for three sources; the first page is its own table of contents.
html_sidebars = {"index": [], "course": []}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


# The gallery: a page for each demonstration. It has the docstring of the module, a script that shows the
# essential part (gallery_scripts), and the results of the whole demonstration.

TITLES = {
    "vectorization": "Loops, NumPy and compiled code",
    "housing": "Predicting house prices",
    "scale": "Data and network size",
    "logistic": "Logistic regression",
    "cost": "Loss and cost",
    "derivative": "Derivatives",
    "descent": "Gradient descent",
    "computation-graph": "Computation graphs",
    "activations": "Activation functions",
    "linear": "Linear hidden layers",
    "symmetry": "Breaking the symmetry",
    "saturation": "Scale of the initial weights",
    "planar": "Number of hidden units",
    "depth": "Benefits of depth",
    "digits": "Handwritten digits",
    "parameters": "Parameters and hyper-parameters",
    "hyperparameters": "Hyper-parameter search",
}
PAGE = '''"""
{title}
{underline}

{words}
"""

# sphinx_gallery_line_numbers = False
# sphinx_gallery_thumbnail_number = 2
{script}
# %%
# The complete demonstration measures more:

# python -m dnn demo {name}

# sphinx_gallery_start_ignore
from dnn import demos

measured = demos.demo("{name}").measure()
figure = demos.picture("{name}", measured)
print(demos.demo("{name}").tell(measured))
# sphinx_gallery_end_ignore
{more}'''
# Files that the command writes in addition to the picture
MORE = {
    "planar": """
# %%
# It also writes an animation of the network while it learns, as a GIF and as a self-contained HTML file:

# dnn-planar.gif, dnn-planar.html

# sphinx_gallery_start_ignore
import tempfile
from pathlib import Path

film, page = demos.demo("planar").extra(measured, Path(tempfile.mkdtemp()))
# sphinx_gallery_end_ignore
""",
}


class Card(str):
    """A card of the gallery: a picture, a title, and a sentence, which sphinx-gallery would hide."""

    def format(self, **parts):
        name = list(demos.DEMOS)[int(re.search(r"plot_(\d+)", parts["doc_name"])[1]) - 1]
        sentence = inspect.getdoc(demos.demo(name)).splitlines()[0]
        return super().format(**parts | {"intro": html.escape(sentence)})


CARD = """
.. raw:: html

    <div class="sphx-glr-thumbcontainer" {tags}>

.. only:: html

  .. image:: /{thumbnail}
    :alt:

  :doc:`{doc_name}`

.. raw:: html

      <div class="sphx-glr-thumbnail-title">{title}</div>
      <div style="font-size: 0.85rem; line-height: 1.3; padding: 0.2rem 0.5rem 0.6rem">{intro}</div>
    </div>

"""
backreferences.THUMBNAIL_TEMPLATE = Card(CARD)


def write_gallery():
    """Write the gallery's sources, in the order of the course."""
    folder = HERE / "generated" / "parts" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    text = "Gallery\n=======\n\n"
    text += (
        "Each page measures and draws one statement of the course. ``python -m dnn demo planar`` runs a "
        "demonstration, explains its results and writes the picture.\n\n"
        "Next: the :doc:`how-to guides </howto>`.\n"
    )
    (folder / "GALLERY_HEADER.rst").write_text(text)
    pages = {}
    for number, name in enumerate(demos.DEMOS, 1):
        title = TITLES[name]
        script = (HERE / "gallery_scripts" / f"{name}.py").read_text()
        pages[f"plot_{number:02}_{name.replace('-', '_')}.py"] = PAGE.format(
            title=title, underline="=" * len(title), words=inspect.getdoc(demos.demo(name)), name=name,
            script=script, more=MORE.get(name, ""),
        )  # fmt: skip
    for path in folder.glob("plot_*.py"):
        if path.name not in pages:
            path.unlink()
    for name, page in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != page:
            path.write_text(page)


def take_figure(block, block_vars, gallery_conf):
    """Save the figure or the animation of a part of a page."""
    import matplotlib.image
    from matplotlib import pyplot
    from PIL import Image

    names = block_vars["example_globals"]
    figure, film = names.pop("figure", None), names.pop("film", None)
    if figure is None and film is None:
        return ""
    path = Path(next(block_vars["image_path_iterator"]))
    if film is not None:
        path = path.with_suffix(".gif")
        path.write_bytes(film.read_bytes())
        Image.open(film).convert("RGB").save(path.with_suffix(".png"))
    else:
        figure.savefig(path, dpi=120)
        pyplot.close("all")  # figures of a script; those of the demonstrations do not belong to pyplot
        assert matplotlib.image.imread(path).size
    place = path.relative_to(gallery_conf["src_dir"]).as_posix()
    kind = "drawn" if film is None else "film"
    return f"\n.. image:: /{place}\n   :alt: the picture\n   :class: {kind}\n"


sphinx_gallery_conf = {
    "examples_dirs": "generated/parts/gallery",
    "gallery_dirs": "gallery",
    "image_scrapers": (take_figure,),
    "reset_modules": (),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "show_memory": False,
    "remove_config_comments": True,
    "plot_gallery": "True",
    "thumbnail_size": (400, 280),
    "write_computation_times": False,
}


# The course, side by side

WAYS = {"loops": loops, "NumPy": vectorized, "compiled": compiled}
PARTS = {
    "activations": "Activations",
    "layers": "Forward and backward pass of a layer",
    "training": "Training",
}


def source_of(function):
    """Return the source of a function without its docstring and types, and with comments wrapped."""
    lines = inspect.getsource(function).splitlines()
    node = ast.parse("\n".join(lines)).body[0]
    first = node.body[0]  # the docstring: each function has one
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args]
    shown = [arg.arg for arg in named]
    for place, default in zip(range(len(named))[::-1], arguments.defaults[::-1], strict=False):
        shown[place] += f"={ast.unparse(default)}"
    if arguments.kwonlyargs:
        shown.append("*")
        pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        shown += [f"{arg.arg}={ast.unparse(default)}" for arg, default in pairs]
    head = f"def {node.name}({', '.join(shown)}):"
    if len(head) > 66:
        head = "\n".join(textwrap.wrap(head, 66, subsequent_indent=" " * (len(node.name) + 5)))
    found = [head]
    for line in lines[first.end_lineno :]:
        comment = re.match(r"( *)# (.*)", line)
        if comment:
            indent = comment[1] + "# "
            found += textwrap.wrap(comment[2], 66, initial_indent=indent, subsequent_indent=indent)
        else:
            found.append(re.sub(r"^( +\w+): [^=]*? = ", r"\1 = ", line))
    return "\n".join(found)


def write_course():
    """Write the generated part of the page: the description and the three sources of each function."""
    page = []
    for part, title in PARTS.items():
        page += [title, "-" * len(title), ""]
        module = sys.modules[f"dnn.course.vectorized.{part}"]
        for name, function in vars(module).items():
            if getattr(function, "__module__", "") != module.__name__ or name.startswith("_"):
                continue
            page += [name, "~" * len(name), ""]
            doc = re.split(r"\n\n(?:Parameters|Examples)\n-+\n", inspect.getdoc(function))[0]
            page += [doc, "", ".. container:: ways", ""]
            for way, functions in WAYS.items():
                there = inspect.unwrap(getattr(functions, name))  # without its checks
                page += ["   .. code-block:: python", f"      :caption: {way}", ""]
                if way == "compiled" and there is function:
                    page += ["      # the same function as in NumPy: it only makes arrays", ""]
                    continue
                page += ["      " + line for line in source_of(there).splitlines()] + [""]
    target = HERE / "generated" / "parts" / "course.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(page) + "\n")


def leave_out(app, what, name, thing, skip, options):
    """Leave out the methods for metadata routing, whose docstrings link to scikit-learn's own pages."""
    return skip or bool(re.fullmatch(r"set_\w+_request", name))


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", leave_out)


write_gallery()
write_course()
drawings.write(HERE / "generated" / "parts")
