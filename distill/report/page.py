"""A report as one HTML file that needs nothing but a browser: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from distill.report.markup import Part, text
from distill.report.theme import variables


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A part of the page with a title, listed in the table of contents.

    Parameters
    ----------
    title : str
    parts : tuple of Part
        See `distill.report.parts` and `distill.report.tables`.
    """

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """A report.

    Parameters
    ----------
    title : str
    lead : str
        What was found, in a sentence.
    sections : tuple of Section

    Examples
    --------
    >>> from distill.report.parts import Prose
    >>> section = Section(title="Certificate", parts=(Prose(content="No person is in two parts."),))
    >>> made = Page(title="HAPT <1>", lead="A student.", sections=(section,)).html()
    >>> '<h2 id="certificate">Certificate</h2><p>No person is in two parts.</p>' in made
    True
    >>> "<title>HAPT &lt;1&gt;</title>" in made
    True
    """

    title: str
    lead: str
    sections: tuple[Section, ...]

    def html(self) -> str:
        """Return the file: style sheet and script are inside, and the browser is told to let nothing else in."""
        files = resources.files("distill.report")
        css, script = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
        named = list(zip(anchors(section.title for section in self.sections), self.sections, strict=True))
        contents = "".join(f'<li><a href="#{anchor}">{text(section.title)}</a></li>' for anchor, section in named)
        body = "".join(
            f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{text(section.title)}</h2>'
            + "\n".join(part.html(f"p{number}_{i}") for i, part in enumerate(section.parts, 1))
            + "</section>\n"
            for number, (anchor, section) in enumerate(named, 1)
        )
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{text(self.title)}</title>\n<link rel="icon" href="data:,">\n'
            f"<style>\n{variables()}{css}</style>\n</head>\n<body>\n"
            f'<header><h1>{text(self.title)}</h1><p class="lead">{text(self.lead)}</p></header>\n'
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n<main>\n{body}</main>\n'
            f"<script>{script}</script>\n</body>\n</html>\n"
        )


def anchors(titles: Iterable[str]) -> list[str]:
    """Return an anchor for each title: its letters and digits in small, each once in a page.

    >>> anchors(["Alpha & lambda", "Versions", "versions", "θ"])
    ['alpha-lambda', 'versions', 'versions-2', 'section']
    """
    taken: list[str] = []
    for title in titles:
        stem = re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-") or "section"
        anchor, number = stem, 1
        while anchor in taken:
            number += 1
            anchor = f"{stem}-{number}"
        taken.append(anchor)
    return taken


def _policy(script: str) -> str:
    """Write the page's content security policy: this very script, styles and images in the page, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
