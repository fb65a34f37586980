"""XML that holds what people wrote: as text alone, in characters that XML has a place for."""

from __future__ import annotations

from xml.etree import ElementTree

from outagecast.text import printable


def add(parent: ElementTree.Element, tag: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    """A new last child of ``parent``."""
    child = ElementTree.SubElement(parent, tag, {name: printable(value) for name, value in attributes.items()})
    if text is not None:
        child.text = printable(text)
    return child


def dump(root: ElementTree.Element) -> bytes:
    """The whole document, in UTF-8."""
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"
