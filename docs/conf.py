"""How Sphinx makes the site (`make docs`): pages of this repository where they lie, as `navigation.toml` orders them.

Pages stay plain Markdown that a code host shows as well: what only a site needs, the lists of pages beneath a page and
the docstrings of the Python page, is added while they are read. Notebooks lie without outputs and are executed.
"""

import re
import tomllib
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from sphinx.search import languages
from sphinx.search.en import SearchEnglish

ROOT = Path(__file__).parents[1]
ORDER = tomllib.loads((ROOT / "docs" / "navigation.toml").read_text(encoding="utf-8"))
NAVIGATION: dict[str, list[str]] = ORDER["pages"]
START = "docs/README"
PYTHON = "docs/python"
PUBLIC_NAME = re.compile(r"^### `([\w.]+)`\n\n(.+?)\n\n", re.MULTILINE | re.DOTALL)
"""A name on the Python page, with its sentence."""

project = "sfumato"
author = "The sfumato developers"
copyright = author  # noqa: A001 as Sphinx names it
version = release = version_of("sfumato")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = START
include_patterns = [*NAVIGATION, *(page for pages in NAVIGATION.values() for page in pages)]
exclude_patterns = [".*", "src", "site", "demo"]
myst_heading_anchors = 6
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900
suppress_warnings = ["misc.highlighting_failure"]

autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
napoleon_use_ivar = True
default_role = "code"
nitpicky = True
nitpick_ignore_regex = [("py:(class|obj)", ".*")]
"""Types in signatures: those of other libraries have pages elsewhere, and this site looks nothing up."""

highlight_language = "text"
toc_object_entries = False

html_theme = "pydata_sphinx_theme"
html_title = "sfumato"
html_baseurl = ""
html_copy_source = False
html_show_sphinx = False
html_additional_pages = {"index": "redirect.html"}
html_static_path = ["theme"]
html_css_files = ["site.css"]
templates_path = ["theme"]
html_sidebars = {page.removesuffix(".md"): [] for page in NAVIGATION[f"{START}.md"] if page not in NAVIGATION}
html_theme_options = {
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    "search_bar_text": "Search these pages",
    "article_header_start": [],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
}


def complete(_app: Any, page: str, source: list[str]) -> None:
    """Add to a page the list of those beneath it, and to the Python page the docstrings."""
    if page == PYTHON:
        source[0] = PUBLIC_NAME.sub(lambda match: match[0] + documented(match[1]), source[0])
    beneath = [named(below) for below in NAVIGATION.get(f"{page}.md", [])]
    if beneath:
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", "", *beneath, "```", ""])


def named(page: str) -> str:
    """A page as a list of pages has it, perhaps by a shorter name than its title."""
    title = ORDER["titles"].get(page)
    return f"/{page}" if title is None else f"{title} </{page}>"


def documented(name: str) -> str:
    """The directive that shows signature and docstring of a public name."""
    home, _, last = f"sfumato.{name}".rpartition(".")
    is_type = last[0].isupper()
    lines = [f".. auto{'class' if is_type else 'function'}:: {home}.{last}", *(["   :members:"] if is_type else [])]
    return "\n".join(["```{eval-rst}", *lines, "```", "", ""])


def plain_stars(_app: Any, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """A star of a docstring is a star, as in the pattern `*/images`, and begins no emphasis."""
    for number, line in enumerate(lines):
        pieces = line.split("`")
        if not line.lstrip().startswith("*"):
            pieces[::2] = [piece.replace("*", r"\*") for piece in pieces[::2]]
        lines[number] = "`".join(pieces)


def is_left_out(_app: Any, _what: str, _name: str, thing: Any, _skip: bool, _options: Any) -> bool | None:
    """Fields of a named tuple are told by its docstring; Python's own word on each says nothing."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field number") else None


class PlainEnglish(SearchEnglish):
    """A search for words as they are written, so that what is found shows the sentence around the word."""

    js_stemmer_rawcode = None
    js_stemmer_code = "class Stemmer { stemWord(word) { return word; } }"

    def stem(self, word: str) -> str:
        """The word in small letters."""
        return word.lower()


def setup(app: Any) -> None:
    """Called by Sphinx."""
    languages["en"] = PlainEnglish
    app.connect("source-read", complete)
    app.connect("autodoc-process-docstring", plain_stars, priority=1)
    app.connect("autodoc-skip-member", is_left_out)
