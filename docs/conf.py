"""The documentation as a site: `make site` builds it from the pages as they are."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

DOCS = Path(__file__).parent
ROOT = DOCS.parent

with (ROOT / "pyproject.toml").open("rb") as file:
    release = tomllib.load(file)["project"]["version"]

project = "Model Loop"
html_title = f"{project} {release}"
root_doc = "README"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# Anchors of headings as on the code host.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

mermaid_height = "auto"
mermaid_fullscreen_button = "⤢"

#: Address of the repository's files, where a workflow of the code host builds the site.
code_host = ""
if "GITHUB_REPOSITORY" in os.environ:
    code_host = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/blob/{GITHUB_SHA}".format(**os.environ)

#: Pages whose lists of links are the navigation.
_INDEXES = ("README", "architecture")
#: A heading, or an item of a list that begins with a link to a page.
_OUTLINE = re.compile(r"^## (.+)$|^ *- \[[^]]+\]\(([^)#]+)\.md\)", re.MULTILINE)
#: A fenced block of code, or the path and the heading in a link that may lead out of this folder.
_OUTWARD = re.compile(
    r"^ *```.*?^ *```$|(?<=\]\()(\.\./[^)#\s]+)(#[^)\s]*)?", re.DOTALL | re.MULTILINE
)


def navigation(text: str) -> str:
    """Return hidden tables of contents: one for each heading over a list of pages."""
    contents: dict[str, list[str]] = {}
    heading = ""
    for found in _OUTLINE.finditer(text):
        heading = found[1] or heading
        if found[2]:
            contents.setdefault(heading, []).append(found[2])
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in contents.items()
    )


def outward_links(text: str, page: Path) -> str:
    """Return a page whose links to other files of the repository work on the site.

    They lead to the code host, or to copies where it is not known, as on a developer's machine.

    Parameters
    ----------
    text
        Of the page.
    page
        Its file.
    """

    def replaced(found: re.Match[str]) -> str:
        link, heading = found[1], found[2] or ""
        if not link or (target := (page.parent / link).resolve()).is_relative_to(DOCS):
            return found[0]
        if not target.is_file():
            logger.warning("The link %s leads to no file", link, location=str(page))
        path = target.relative_to(ROOT).as_posix()
        # A copy is no page of the site, and has no headings.
        return f"{code_host}/{path}{heading}" if code_host else f"path:{link}"

    return _OUTWARD.sub(replaced, text)


def read_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Prepare the text of a page before it is parsed."""
    source[0] = outward_links(source[0], Path(app.env.doc2path(name)))
    if name in _INDEXES:
        source[0] += navigation(source[0])


def copy_front_page(app: Sphinx, failure: Exception | None) -> None:
    """Let the index of the site be the page that the code host shows for the folder."""
    if failure is None:
        shutil.copy(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Register the steps above; another code host means that pages are read again."""
    app.add_config_value("code_host", "", "env")
    app.connect("source-read", read_page)
    app.connect("build-finished", copy_front_page)
