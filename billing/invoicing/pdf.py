"""A document as PDF/A-3b: its first page on paper, with its XML attached. The same page always gives the same bytes.

The page is set by `page.typ`. Words and numbers go there as JSON, so that no name is ever read as markup. All fonts are
embedded: Noto Sans CJK where it is installed (it has Latin, Japanese and Chinese letters), else a sans serif that is;
a letter that no font has is an error, never an empty box. Amounts are shown in the currency's digits, prices with all
of theirs: 1,050.60 and 0.99.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from billing.errors import BillingError
from billing.invoicing.page import Page, PageLine
from billing.money import plain, round_half_up

if TYPE_CHECKING:
    from typst import Fonts

_TEMPLATE = Path(__file__).with_name("page.typ")
# In the order in which they are used. A Chinese page takes Chinese forms of the characters that both languages write.
_FAMILIES = {"zh": ("Noto Sans CJK SC",), "ja": ("Noto Sans CJK JP",)}
_OTHER_FAMILIES = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "DejaVu Sans", "Libertinus Serif")
_STANDARD: Literal["a-3b"] = "a-3b"


def pdf_page(
    page: Page,
    *,
    logo: bytes | None = None,
    xml: bytes | None = None,
    issued_at: datetime,
    font_folders: Sequence[Path] | None = None,
) -> bytes:
    """The PDF of a page, dated `issued_at`; fonts are those of the system, or of some folders alone."""
    if find_spec("typst") is None:
        raise BillingError("PDF needs one more library: install billing[documents]")
    import typst

    fonts = _fonts(tuple(font_folders) if font_folders is not None else None)
    inputs = {"page": json.dumps(_page_table(page, fonts))}
    if xml is not None:
        inputs["xml"] = xml.decode()
    if logo is not None:
        inputs["logo"] = json.dumps(list(logo))  # inputs are texts: each byte as a number
    try:
        return typst.compile(
            _TEMPLATE, sys_inputs=inputs, font_paths=fonts, pdf_standards=[_STANDARD], timestamp=issued_at
        )
    except typst.TypstError as error:
        raise _refusal(error) from None


def _refusal(error: Any) -> BillingError:
    if "could not be displayed" in error.message:
        why = error.message.removeprefix("PDF/A-3b error: ").replace("`", "")
        return BillingError(f"{why}: install fonts that have its letters (Debian: fonts-noto-cjk, fonts-noto-core)")
    if "logo" in error.diagnostic:
        return BillingError(f"the logo cannot be printed, give it as PNG, JPEG or SVG: {error.message}")
    raise error


@cache
def _fonts(folders: tuple[Path, ...] | None) -> "Fonts":
    """The fonts of the system (or of some folders) and those that come with typst."""
    import typst

    return typst.Fonts(include_system_fonts=folders is None, font_paths=list(folders or ()))


def _families(language: str, fonts: "Fonts") -> list[str]:
    """The families of a page, of those that there are."""
    wanted = dict.fromkeys((*_FAMILIES.get(language, ()), *_OTHER_FAMILIES))
    there = set(fonts.families())
    return [family for family in wanted if family in there]


def _page_table(page: Page, fonts: "Fonts") -> dict[str, Any]:
    """The page as texts, with what the template needs beside its words."""
    return {
        **{name: value for name, value in asdict(page).items() if name not in ("lines", "sums")},
        "lines": [_line(line, page.digits) for line in page.lines],
        "sums": [asdict(each) | {"amount": _amount(each.amount, page.digits)} for each in page.sums],
        "name": f"{page.title} {page.draft_mark or page.facts[0].value}",
        "author": page.seller[0] if page.seller else "",
        "fonts": _families(page.language, fonts),
    }


def _line(line: PageLine, digits: int) -> list[str]:
    return [
        line.text,
        _count(line.minutes),
        _count(line.deducted_minutes),
        "" if line.price is None else _price(line.price, digits),
        _amount(line.amount, digits),
    ]


def _count(minutes: int | None) -> str:
    return "" if minutes is None else f"{minutes:,}"


def _amount(amount: Decimal, digits: int) -> str:
    """An amount in the currency's digits: 1,050.60."""
    return f"{round_half_up(amount, digits) + 0:,}"


def _price(price: Decimal, digits: int) -> str:
    """A price with all its digits, and at least the currency's: 4.00, 0.99, 0.0125."""
    exact = Decimal(plain(price))
    places = -int(exact.as_tuple().exponent)
    return f"{exact:,}" if places > digits else _amount(exact, digits)
