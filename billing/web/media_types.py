"""Media types: in which form an answer is given.

`?format=csv` says it outright; else the header Accept does, by its weights; without either it is the first form that
the route has. What a route cannot give is 406.
"""

from collections.abc import Sequence

from litestar.exceptions import HTTPException

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "xml": "application/xml",
    "html": "text/html",
}


class NotAcceptableError(HTTPException):
    """The answer does not exist in the form that is asked for."""

    status_code = 406


def chosen_form(forms: Sequence[str], *, asked: str | None, accept: str | None) -> str:
    """The form to answer in: `json`, `csv`, `xlsx`, `pdf`, `xml` or `html`."""
    if asked is not None:
        if asked in forms:
            return asked
        raise NotAcceptableError(f"format: {asked!r} is not possible here: {' or '.join(forms)}")
    if not accept:
        return forms[0]
    ranges = [_range(text) for text in accept.split(",")]
    best = max(forms, key=lambda form: _weight(MEDIA_TYPES[form], ranges))
    if _weight(MEDIA_TYPES[best], ranges) <= 0:
        possible = " or ".join(MEDIA_TYPES[form] for form in forms)
        raise NotAcceptableError(f"Accept: {accept!r} is not possible here: {possible}")
    return best


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    weights = [part[2:] for part in parameters if part.startswith("q=")]
    try:
        return name, float(weights[0]) if weights else 1.0
    except ValueError:
        return name, 0.0


def _weight(name: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of a media type: that of the narrowest range that holds it."""
    for each in (name, f"{name.partition('/')[0]}/*", "*/*"):
        weights = [weight for known, weight in ranges if known == each]
        if weights:
            return max(weights)
    return 0.0
