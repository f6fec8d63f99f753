"""Reading XML from outside: no document type, so that no entity is expanded or fetched; bounded depth."""

from __future__ import annotations

from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

_MOST_DEPTH = 100


def parse_xml(content: bytes) -> Element:
    """The root element; names have their namespace as `{uri}name`. Raises `ValueError`."""
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise ValueError("it is nested too deeply")
        builder.start(_braced(name), {_braced(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_braced(name))

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, LookupError) as error:  # an unknown encoding is a LookupError
        raise ValueError(f"it is no well-formed XML: {error}") from error


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def child_text(element: Element, name: str) -> str:
    """The text of the first child of a name, in any namespace; empty without one."""
    for child in element:
        if local_name(child) == name:
            return (child.text or "").strip()
    return ""


def _braced(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _refuse_document_type(*_: object) -> NoReturn:
    raise ValueError("it declares a document type, which may declare entities")
