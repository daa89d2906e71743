"""Laws of thresholds, for any values in any order."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.alerts import Alert
from billing.receivables.thresholds import ARMED, FIRED, amount_of, crossings

amounts = st.integers(0, 30).map(lambda number: Decimal(number) / 2)
thresholds = st.lists(st.integers(0, 15), min_size=1, max_size=4, unique=True).map(lambda found: tuple(map(str, found)))


def events(alert: Alert, values: list[Decimal]) -> dict[str, list[tuple[int, str]]]:
    """What each threshold does at the values, by their place."""
    last: dict[Decimal, str] = {}
    found: dict[str, list[tuple[int, str]]] = {threshold: [] for threshold in alert.thresholds}
    for place, value in enumerate(values):
        for crossing in crossings(alert, value, last):
            last[crossing.amount] = crossing.event
            found[crossing.threshold].append((place, crossing.event))
    return found


@given(thresholds=thresholds, values=st.lists(amounts, max_size=20))
def test_what_rises_fires_once_exactly_where_it_first_reaches_the_threshold(
    thresholds: tuple[str, ...], values: list[Decimal]
) -> None:
    alert = Alert(id="a", account="acme", metric="spend", thresholds=thresholds)
    for threshold, found in events(alert, values).items():
        reached = [place for place, value in enumerate(values) if value >= amount_of(alert, threshold)]
        assert found == [(place, FIRED) for place in reached[:1]]


@given(thresholds=thresholds, values=st.lists(amounts, max_size=20))
def test_what_falls_fires_at_each_fall_to_the_threshold_and_is_armed_at_each_rise(
    thresholds: tuple[str, ...], values: list[Decimal]
) -> None:
    alert = Alert(id="a", account="acme", metric="balance", thresholds=thresholds)
    for threshold, found in events(alert, values).items():
        below = [value <= amount_of(alert, threshold) for value in values]
        turns = [
            (place, FIRED if now else ARMED)
            for place, (before, now) in enumerate(zip([False, *below], below, strict=False))
            if before != now
        ]
        assert found == turns
