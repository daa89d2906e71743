"""The check: what `python -m tests.mutants` runs, in a copy of the project.

Puts small faults into the modules of metering and rating, one at a time, and runs their tests against each. Prints the
score. Fails when a mutant survives that `accepted.toml` does not list with a reason, or when the list names one that
does not survive.
"""

import argparse
import os
import random
import re
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RATING = ["tests/property/test_rating_laws.py", "tests/test_catalog.py", "tests/test_values.py"]
ROOMS = "tests/test_metering_rooms.py"
# What a second is: the same however the log holds the events, and however they are cut into passes and parts.
SECONDS = [
    f"{ROOMS}::test_the_same_sixty_rooms_are_metered_as_the_obvious_meter_does",
    "tests/test_metering_stays.py",
    "tests/test_metering_keys.py",
    "tests/test_metering_findings.py",
    "tests/test_metering_tiers.py",
    "tests/test_metering_subscriptions.py",
    f"{ROOMS}::test_a_span_that_begins_and_ends_inside_a_window_equals_that_of_the_obvious_meter",
    f"{ROOMS}::test_cuts_change_nothing",
    "tests/test_metering_meter.py",
    "tests/property/test_metering_laws.py::test_an_app_without_a_rule_is_refused",
    "tests/test_values.py",
]
METERING = [
    ROOMS,
    "tests/test_metering_stays.py",
    "tests/test_metering_findings.py",
    "tests/test_metering_keys.py",
    "tests/test_metering_meter.py",
    "tests/test_metering_tiers.py",
    "tests/test_values.py",
    "tests/property/test_metering_laws.py::test_an_app_without_a_rule_is_refused",
]
SUBSCRIPTIONS = ["tests/test_metering_subscriptions.py", *SECONDS]
# The tests of each module, the likeliest to fail first.
TESTS = {
    "billing/rating/charges.py": ["tests/test_charges.py", *RATING],
    "billing/catalog/contracts.py": ["tests/test_contracts.py", *RATING],
    "billing/rating/deductions.py": ["tests/test_deductions.py", "tests/test_charges.py", *RATING],
    "billing/catalog/items.py": ["tests/test_deductions.py", "tests/test_charges.py", *RATING],
    "billing/catalog/file_values.py": ["tests/test_models.py", "tests/test_alerts.py", "tests/test_sellers.py"],
    "billing/catalog/models.py": ["tests/test_models.py", "tests/test_policies.py", *RATING],
    "billing/catalog/packages.py": ["tests/test_packages.py", *RATING],
    "billing/catalog/policies.py": ["tests/test_policies.py", *RATING],
    "billing/catalog/reading.py": ["tests/test_catalog.py", "tests/test_policies.py", "tests/test_models.py", *RATING],
    "billing/events/keys.py": [
        "tests/test_keys.py",
        "tests/test_metering_keys.py",
        "tests/test_metering_tiers.py",
    ],
    "billing/metering/engine/other_rooms.py": ["tests/test_metering_findings.py", *METERING],
    "billing/metering/findings.py": ["tests/test_metering_findings.py", *METERING],
    "billing/metering/meter.py": METERING,
    "billing/metering/engine/parts.py": METERING,
    "billing/metering/engine/keyed_rows.py": METERING,
    "billing/metering/state.py": SECONDS,
    "billing/metering/engine/classes.py": SECONDS,
    "billing/metering/engine/connections.py": SUBSCRIPTIONS,
    "billing/metering/engine/crowds.py": SUBSCRIPTIONS,
    "billing/metering/engine/publications.py": SUBSCRIPTIONS,
    "billing/metering/engine/rooms.py": SECONDS,
    "billing/metering/engine/stays.py": SECONDS,
    "billing/metering/engine/subscription_tables.py": SUBSCRIPTIONS,
    "billing/metering/engine/timers.py": SECONDS,
    "billing/metering/engine/views.py": SUBSCRIPTIONS,
    "billing/metering/engine/worker_results.py": METERING,
    "billing/metering/engine/room_tables.py": SECONDS,
    "billing/metering/tiers.py": ["tests/test_metering_tiers.py", *SECONDS],
    "billing/metering/windows.py": SECONDS,
}
ACCEPTED = Path(__file__).with_name("accepted.toml")
PROFILE = "mutants"

Key = tuple[str, str, str, str]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of the mutants of a module."""

    outcomes: Counter[str] = field(default_factory=Counter)
    survivors: list[Key] = field(default_factory=list)
    unlisted: int = 0
    seconds: float = 0  # of the processor


def main() -> int:
    options = _options()
    # Before numba and the tests' settings are loaded.
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": PROFILE, "POLARS_MAX_THREADS": "2"}
    from tests.mutants import trial
    from tests.mutants.mutations import mutations, unchanged

    _register_profile()
    accepted = _accepted()
    tallies: dict[str, Tally] = {}
    started = time.monotonic()
    for module in options.modules or TESTS:
        child = trial.begin(unchanged(Path.cwd(), module), TESTS[module])
        if trial.outcome(os.waitpid(child, 0)[1]) is not trial.Outcome.SURVIVED:
            print(f"{module}: fails without any mutation: pytest {' '.join(TESTS[module])}", file=sys.stderr)
            return 2
        print(module, flush=True)
        found = mutations(Path.cwd(), module)
        if options.sample:
            every = list(found)
            found = iter(random.Random(0).sample(every, min(options.sample, len(every))))
        tally = tallies[module] = Tally()
        for mutation, result, seconds in _tried(trial, found, TESTS[module], options.jobs):
            tally.outcomes[result.value] += 1
            tally.seconds += seconds
            if result is trial.Outcome.SURVIVED:
                tally.survivors.append(mutation.key)
                if mutation.key not in accepted:
                    tally.unlisted += 1
                    print(f"line {mutation.line}\n{_shown(mutation.key)}", flush=True)
    stale = (
        []
        if options.sample
        else sorted(key for key in accepted if key[0] in tallies and key not in tallies[key[0]].survivors)
    )
    _report(tallies, stale, time.monotonic() - started)
    return 1 if stale or any(tally.unlisted for tally in tallies.values()) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("modules", nargs="*", help="default: all")
    parser.add_argument("--sample", type=int, help="so many mutants of each module only")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time")
    return parser.parse_args()


def _accepted() -> set[Key]:
    """The mutants that may survive: for each a line with module and definition, one without and one with the fault."""
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    return {
        key
        for entry in entries
        for key in re.findall(r"^(\S+) ?(.*)\n- (.*)\n\+ ?(.*)$", entry["mutants"], flags=re.MULTILINE)
        if entry["reason"]
    }


def _register_profile() -> None:
    """Few examples, the same ones every time."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        PROFILE,
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile(PROFILE)


def _tried(trial, mutations, tests, jobs) -> Iterator:
    """Every mutation with its outcome and the seconds of the processor that it took; some trials at a time."""
    running = {}
    while True:
        for mutation in mutations:
            running[trial.begin(mutation, tests)] = mutation
            if len(running) == jobs:
                break
        if not running:
            return
        child, status, used = os.wait3(0)
        yield running.pop(child), trial.outcome(status), used.ru_utime + used.ru_stime


def _report(tallies: dict[str, Tally], stale: list[Key], seconds: float) -> None:
    columns = ["killed", "timed out", "survived"]
    print(
        f"\n{'module':32} {'mutants':>8} {'killed':>8} {'timed out':>10} {'survived':>9} {'unlisted':>9} {'score':>7}"
    )
    total = Counter()
    for module, tally in tallies.items():
        total += tally.outcomes
        _line(module, [tally.outcomes[name] for name in columns], tally.unlisted)
    _line("total", [total[name] for name in columns], sum(tally.unlisted for tally in tallies.values()))
    used = sum(tally.seconds for tally in tallies.values())
    print(f"{seconds / 60:.0f} minutes by the clock, {used / 60:.0f} of the processor")
    for key in stale:
        print(f"accepted, but did not survive:\n{_shown(key)}")


def _shown(key: Key) -> str:
    """As it would be listed."""
    module, definition, before, after = key
    return f"{module} {definition}".rstrip() + f"\n- {before}\n+ {after}"


def _line(name: str, outcomes: list[int], unlisted: int) -> None:
    killed, timed_out, survived = outcomes
    mutants = sum(outcomes)
    score = 100 * (killed + timed_out) / max(1, mutants)
    print(f"{name:32} {mutants:8} {killed:8} {timed_out:10} {survived:9} {unlisted:9} {score:6.1f}%")


if __name__ == "__main__":
    sys.exit(main())
