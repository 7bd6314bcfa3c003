"""What every page carries: mathematics from this site, buttons, and mended accessibility."""

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import stringify_annotation

# What the equations of a page can ask for: the program, rare TeX commands, and the fonts.
MATHJAX_PARTS = ("tex-mml-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2")
# All extensions in one file: each is there by itself.
MATHJAX_UNUSED = shutil.ignore_patterns("all-packages.js")


def copy_mathjax(app: Sphinx) -> None:
    """Copy MathJax from its package into the site, so that no page asks another host."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        message = "sphinx-mathjax-offline is not installed; requirements.txt has it."
        raise ModuleNotFoundError(message)
    source = Path(package.origin).with_name("static") / "mathjax"
    target = Path(app.outdir, "_static", "vendor", "mathjax")
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, ignore=MATHJAX_UNUSED, dirs_exist_ok=True)
        else:
            shutil.copy2(source / part, target / part)


def repository_options(project_file: Path) -> dict[str, Any]:
    """Give the theme's options for the repository that `pyproject.toml` names, if it names one.

    Nothing may send a reader to an address that the owner of the project did not set: without
    one there are no such buttons.
    """
    project = tomllib.loads(project_file.read_text("utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    if not address:
        return {}
    return {
        "repository_url": address,
        "repository_branch": "main",
        "use_repository_button": True,
        "use_issues_button": True,
        "use_source_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def add_repository(app: Sphinx, config: Config) -> None:
    """Set the theme's options before the theme reads them."""
    config.html_theme_options.update(repository_options(Path(app.srcdir, "pyproject.toml")))


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Tell the template which file "Download this notebook" gives."""
    if tree is not None and context.get("page_source_suffix") == ".ipynb":
        context["notebook"] = f"{context['pathto']('_sources', 1)}/{context['sourcename']}"


class Bibliography(SphinxPostTransform):
    """Write a bibliography as a definition list: docutils' roles for it are no longer allowed."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Change the citations of one page."""
        for entry in list(self.document.findall(nodes.citation)):
            label = entry.pop(0)
            term = nodes.term("", f"[{label.astext()}]", ids=entry["ids"])
            item = nodes.definition_list_item("", term, nodes.definition("", *entry.children))
            place = entry.parent.index(entry)
            before = entry.parent[place - 1] if place else None
            if isinstance(before, nodes.definition_list):
                before += item
                del entry.parent[place]
            else:
                entry.parent[place] = nodes.definition_list("", item, classes=["bibliography"])


class ChineseTerms(SphinxPostTransform):
    """Say which terms of the glossary are Chinese, for fonts and for screen readers."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Change the terms of one page."""
        for term in self.document.findall(nodes.term):
            if re.search("[\u4e00-\u9fff]", term.astext()):
                # docutils writes this class as the attribute lang="zh".
                term["classes"].append("language-zh")


class CellStyles(SphinxPostTransform):
    """Drop the style sheet that `IPython.display.Code` puts before its code.

    It is made for one theme and speaks to the whole page, which colours code by itself.
    """

    default_priority = 5
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Change the HTML outputs of one page."""
        for raw in list(self.document.findall(nodes.raw)):
            if raw.get("format") == "html" and raw.astext().startswith("<style>pre {"):
                code = raw.astext().partition("</style>")[2]
                raw.replace_self(nodes.raw("", code, format="html", classes=raw["classes"]))


def plain_references(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Write the sources of a docstring as a numbered list.

    MyST loses reStructuredText's footnotes, which NumPy's style uses for them.
    """
    lines[:] = [
        re.sub(r"\[(\d+)\]_", r"[\1]", re.sub(r"^\.\. \[(\d+)\] ", r"\1. \\", line))
        for line in lines
    ]


def mend_made_pages(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Flatten the list of sources: viewcode puts a list into a list, where only items may be."""
    if page == "_modules/index":
        head, _, items = context["body"].partition("<ul>")
        context["body"] = f"{head}<ul>{re.sub('</?ul>', '', items)}</ul>"


def short_types(app: Sphinx, *_: object) -> None:
    """Call `ArrayLike` by its name: autodoc spells out what it stands for, over several lines."""
    spelled = stringify_annotation(ArrayLike, "smart")
    for types in app.env.temp_data.get("annotations", {}).values():
        for name, written in types.items():
            types[name] = written.replace(spelled, "ArrayLike")


def setup(app: Sphinx) -> None:
    """Register all of it."""
    # After autodoc has noted the types.
    app.connect("autodoc-process-signature", short_types, priority=900)
    # Before Napoleon, which reads the sections of a docstring.
    app.connect("autodoc-process-docstring", plain_references, priority=400)
    app.add_post_transform(Bibliography)
    app.add_post_transform(ChineseTerms)
    app.add_post_transform(CellStyles)
    app.connect("config-inited", add_repository)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", offer_notebook)
    app.connect("html-page-context", mend_made_pages)
