"""Sphinx: numpydoc, the theme of the scientific stack, a gallery of demonstrations. Needs no network."""

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import drawings  # noqa: E402, beside this file

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
suppress_warnings = ["config.cache"]  # of a scraper, which is a function
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
# Three sources stand side by side on the page of the course, and the first page is its own table of contents.
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


# The gallery: a page for each demonstration, made of its module's first lines

PAGE = '''"""
{title}
{underline}

{words}
"""

# sphinx_gallery_line_numbers = False
from dnn import demos

demo = demos.demo("{name}")
measured = demo.measure()
print(demo.tell(measured))

# %%
figure = demos.picture("{name}", measured)
{more}'''
# What the command writes beside the picture
MORE = {
    "planar": """
# %%
# The same network while it learns (also as one HTML file, which plays by itself).
import tempfile
from pathlib import Path

film, page = demo.extra(measured, Path(tempfile.mkdtemp()))
""",
}


def write_gallery():
    """Write the gallery's sources, in the order of the course."""
    folder = HERE / "generated" / "parts" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    text = "The course's claims, shown\n==========================\n\n"
    text += (
        "Each is a command too: ``python -m dnn demo planar`` measures, explains, and writes the picture.\n"
    )
    (folder / "GALLERY_HEADER.rst").write_text(text)
    for number, name in enumerate(demos.DEMOS, 1):
        title = name.capitalize().replace("-", " ")
        words = inspect.getdoc(demos.demo(name)) + f"\n\n``python -m dnn demo {name}``"
        line = "=" * len(title)
        page = PAGE.format(title=title, underline=line, words=words, name=name, more=MORE.get(name, ""))
        path = folder / f"plot_{number:02}_{name.replace('-', '_')}.py"
        if not path.exists() or path.read_text() != page:
            path.write_text(page)


def take_figure(block, block_vars, gallery_conf):
    """Save the figure of a page, or its film: dnn's figures are none of pyplot's, which are looked for."""
    import matplotlib.image
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
    "layers": "Layers, forward and backward",
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
    """Write the middle of the page: for each function what it is, and its three sources."""
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
                    page += ["      # the same as in NumPy: it makes arrays, and computes nothing", ""]
                    continue
                page += ["      " + line for line in source_of(there).splitlines()] + [""]
    target = HERE / "generated" / "parts" / "course.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(page) + "\n")


def leave_out(app, what, name, thing, skip, options):
    """Methods that scikit-learn makes for metadata routing; its words point into its own pages."""
    return skip or bool(re.fullmatch(r"set_\w+_request", name))


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", leave_out)


write_gallery()
write_course()
drawings.write(HERE / "generated" / "parts")
