"""Packages for tests."""

from decimal import Decimal
from typing import Literal

from billing.catalog.packages import Package
from billing.periods import parse_instant


def package(
    name: str = "pkg",
    bought: str = "2026-03-01T12:00:00+00:00",
    term: Literal["year", "month"] = "year",
    app: int | None = None,
    minutes: int = 100,
) -> Package:
    purchased_at = parse_instant(bought)
    return Package(
        id=name, account="acme", app=app, minutes=minutes, purchased_at=purchased_at, price=Decimal(1), term=term
    )
