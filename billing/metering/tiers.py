"""Tiers: the item of a second of received video, by pixel area and policy.

*aggregate*: the areas of all streams received at that moment are summed, and the second counts once in the tier of the
sum. *per_stream*: each received stream counts as a second of its own in the tier of its own area; areas are not summed.
Example: two streams of 1280x720 (921,600 pixels, the top of `hd`) are one second of `fhd`, or two seconds of `hd`.
"""

from dataclasses import dataclass

from billing.catalog.items import AUDIO
from billing.catalog.policies import PolicyVersion
from billing.catalog.services import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRule:
    """How the seconds of a service's tasks are classified: always by the summed area of the inputs. Without video they
    belong to `base_item` (None: not billed), and with fewer than `least_inputs` streams they are not billed."""

    name: str
    base_item: str | None
    tiers: tuple[tuple[str, int | None], ...]
    least_inputs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """`tiers` are (item, largest area in pixels that still belongs to it), ascending; the last has no bound (None).

    Seconds without video belong to `base_item`. Those whose reason is in `free_when` are not billed.
    `per_stay`: what is billed are the started minutes of each stay (`billing.metering.stay_minutes`). `services`: those
    whose tasks are billed.
    """

    per_stream: bool
    tiers: tuple[tuple[str, int | None], ...]
    base_item: str = AUDIO
    free_when: frozenset[str] = frozenset()
    per_stay: bool = False
    services: tuple[ServiceRule, ...] = ()

    def __post_init__(self) -> None:
        tops = [top for _, top in self.tiers]
        bounds = [top for top in tops if top is not None]
        if len(bounds) != len(tops) - 1 or tops[-1] is not None or bounds != sorted(set(bounds)):
            raise ValueError(f"tiers must ascend and end with one without a bound: {self.tiers}")

    @property
    def bounds(self) -> tuple[int, ...]:
        """The inclusive top areas of all tiers but the last."""
        return tuple(top for _, top in self.tiers if top is not None)

    @property
    def items(self) -> tuple[str, ...]:
        """The items of the tiers, ascending."""
        return tuple(item for item, _ in self.tiers)

    def item_of(self, area: int) -> str:
        """The item of a second with so many pixels."""
        return next(item for item, top in self.tiers if top is None or area <= top)


def tier_rule(version: PolicyVersion) -> TierRule:
    """The rule by which the meter classifies video under a policy version."""
    return TierRule(
        per_stream=version.method == "per_stream",
        tiers=tuple((tier.item, tier.top_area) for tier in version.tiers),
        base_item=version.base_item,
        free_when=frozenset(version.free_when),
        per_stay=version.method == "stay",
        services=tuple(map(_service_rule, version.services)),
    )


def _service_rule(service: Service) -> ServiceRule:
    return ServiceRule(
        name=service.name,
        base_item=service.base_item,
        tiers=tuple((tier.item, tier.top_area) for tier in service.tiers),
        least_inputs=service.least_inputs,
    )
