"""The values of metering and rating: what a bill was computed from stays as it was."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

import billing.catalog
import billing.metering
import billing.rating

# No values: a room as it is while its events are applied one after the other.
IN_MOTION = {"Connection", "Member", "Room", "_Stretches"}
VALUES = [
    value
    for package in (billing.catalog, billing.metering, billing.rating)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if found.name != "billing.metering.spark"  # needs Spark, and has no values
    for _, value in inspect.getmembers(importlib.import_module(found.name), inspect.isclass)
    if dataclasses.is_dataclass(value) and value.__module__ == found.name and value.__name__ not in IN_MOTION
]
# These are made in one or two places, or have fields that cannot be confused.
IN_ORDER = {"Field", "_Kind", "_Piece"}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_a_value_cannot_be_changed_nor_given_what_it_does_not_have(value: type) -> None:
    """Frozen, so that it may be shared and kept; slotted, so that a slip in a name is an error."""
    one = object.__new__(value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, dataclasses.fields(value)[0].name, 1)
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("value", [each for each in VALUES if each.__name__ not in IN_ORDER], ids=lambda v: v.__name__)
def test_the_fields_of_a_value_are_given_by_name(value: type) -> None:
    """Two numbers of minutes cannot change places."""
    kinds = {parameter.kind for parameter in inspect.signature(value).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
