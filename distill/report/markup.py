"""Text as HTML, and what every part of a page has in common."""

from __future__ import annotations

from html import escape
from typing import Protocol


class Part(Protocol):
    """What stands in a section of a page."""

    def html(self, place: str) -> str:
        """Write the part; `place` begins every id in it, and no other part of the page has the same."""


def text(value: object) -> str:
    """Write a value so that nothing in it is read as HTML, in text and between quotes.

    >>> text("<b>& 'a'")
    '&lt;b&gt;&amp; &#x27;a&#x27;'
    """
    return escape(str(value))


def breakable(name: str) -> str:
    """Write a name that may go on in a new line after an underscore.

    >>> breakable("SIT_TO<LIE")
    'SIT_<wbr>TO&lt;LIE'
    """
    return text(name).replace("_", "_<wbr>")


def scrolled(inner: str, *, label: str) -> str:
    """Put a table that may be too wide for a phone into a box that scrolls sideways, by keyboard as well."""
    return f'<div class="scroll" role="group" tabindex="0" aria-label="{text(label)}">{inner}</div>'
