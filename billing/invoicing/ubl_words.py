"""Elements of UBL: those with a text (`cbc:`) and those with parts (`cac:`)."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

NO_ATTRIBUTES: Mapping[str, str] = {}


def cbc(name: str, text: object, attributes: Mapping[str, str] = NO_ATTRIBUTES) -> Element:
    """An element with a text; days are written as 2026-03-31."""
    element = Element(f"cbc:{name}", dict(attributes))
    element.text = str(text)
    return element


def cac(name: str, *parts: Element | None) -> Element:
    """An element of parts; those that are None are left out."""
    element = Element(f"cac:{name}")
    element.extend(part for part in parts if part is not None)
    return element
