"""Laws of documents and money: whatever happens in some months, the program and a second ledger agree to the digit.

Every charge of a closed month stands on exactly one live document, or nothing was due; the balance does not move when a
month is closed; nothing is negative; never more is credited than an invoice has; a repeated command changes nothing.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from tests.books_story import ACCOUNTS, TAXES, Story, first_home
from tests.commands import Commands
from tests.depth import SLOW_EXAMPLES

pytestmark = pytest.mark.thorough

Step = tuple[Callable[..., None], tuple[object, ...]]
ACCOUNT = st.sampled_from(sorted(ACCOUNTS))
CHOICE = st.integers(0, 5)
TAX = st.sampled_from(list(TAXES))
STEPS = st.one_of(
    st.tuples(st.just(Story.advance)),
    st.tuples(st.just(Story.finalize), ACCOUNT),
    st.tuples(st.just(Story.finalize), ACCOUNT),
    st.tuples(st.just(Story.finalize_later), ACCOUNT),
    st.tuples(st.just(Story.late), ACCOUNT, CHOICE, st.integers(1, 59)),
    st.tuples(st.just(Story.retract), ACCOUNT, CHOICE),
    st.tuples(st.just(Story.change), ACCOUNT, TAX, st.sampled_from(["One", "Two"])),
    st.tuples(st.just(Story.pay), ACCOUNT, st.integers(1, 150), st.integers(0, 3)),
    st.tuples(st.just(Story.pay), ACCOUNT, st.sampled_from([50, 100]), st.integers(0, 3)),
    st.tuples(st.just(Story.credit), CHOICE, st.one_of(st.none(), st.integers(0, 120)), st.integers(0, 31)),
    st.tuples(st.just(Story.credit), CHOICE, st.one_of(st.none(), st.integers(1, 60)), st.just(0)),
    st.tuples(st.just(Story.reissue), CHOICE),
    st.tuples(st.just(Story.write_off), CHOICE),
    st.tuples(st.just(Story.buy), ACCOUNT, st.sampled_from(["invoice", "prepaid", "external"]), st.integers(1, 999)),
    st.tuples(st.just(Story.refund), CHOICE),
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return first_home(tmp_path_factory.mktemp("books"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stories")


def play(start: Commands, folder: Path, taxes: tuple[str | None, ...], steps: list[tuple[object, ...]]) -> None:
    place = Path(tempfile.mkdtemp(dir=folder))
    story = Story.begin(replace(start, home=Path(shutil.copytree(start.home, place / "home"))), place)
    try:
        for account, tax in zip(ACCOUNTS, taxes, strict=True):
            story.change(account, tax, account)
        for account in ACCOUNTS:
            story.finalize(account)
        story.check()
        for act, *arguments in steps:
            story.tick()
            act(story, *arguments)  # type: ignore[operator]
            story.check()
            story.again()
        for _ in range(3):
            story.advance()
            for account in ACCOUNTS:
                story.finalize(account)
        story.check()
        assert story.run("verify --full --format json").stdout == "[]\n"
        story.check_bundles()
    except BaseException:
        note("\n".join(story.written))
        raise
    finally:
        shutil.rmtree(place)


TAKEN_BACK_LATER = [
    (Story.late, "dollar", 1, 50),
    *2 * [(Story.advance,)],
    (Story.finalize, "dollar"),
    (Story.retract, "dollar", 1),
    *3 * [(Story.advance,)],
    (Story.finalize, "dollar"),
]
REFUNDED_AFTER_CLOSING = [
    (Story.buy, "dollar", "external", 500),
    *2 * [(Story.advance,)],
    (Story.finalize, "dollar"),
    (Story.refund, 0),
]


ADDED_AND_TAKEN_BACK = [
    (Story.late, "yen", 0, 59),
    (Story.retract, "yen", 1),
    (Story.credit, 1, None, 0),
    (Story.credit, 1, 8, 0),
]

KNOWN_STORIES = [
    (("ch", "jp", None), [*TAKEN_BACK_LATER, (Story.credit, 3, None, 15), (Story.credit, 3, 100, 0)]),
    ((None, "jp", None), [(Story.pay, "dollar", 40, 1), (Story.write_off, 0), (Story.credit, 0, 50, 0)]),
    (("jp", "jp", None), REFUNDED_AFTER_CLOSING),
    ((None, "ch", None), ADDED_AND_TAKEN_BACK),
    (("gross", "jp", None), [(Story.pay, "dollar", 40, 1), (Story.write_off, 0), (Story.reissue, 0)]),
]
# So that the workers share the stories.
PARTS = 5


@pytest.mark.parametrize(("taxes", "steps"), KNOWN_STORIES)
def test_a_story_that_was_hard_once_agrees_after_every_step(
    start: Commands, folder: Path, taxes: tuple[str | None, ...], steps: list[tuple[object, ...]]
) -> None:
    play(start, folder, taxes, steps)


# A story takes seconds, and its shrinking minutes: the commands of the story are printed instead.
@pytest.mark.parametrize("_part", range(PARTS))
@settings(max_examples=max(1, SLOW_EXAMPLES // 4 // PARTS), phases=[Phase.reuse, Phase.generate])
@given(taxes=st.tuples(TAX, TAX, TAX), steps=st.lists(STEPS, min_size=4, max_size=14))
def test_the_program_and_a_second_ledger_agree_after_every_step(
    start: Commands, folder: Path, _part: int, taxes: tuple[str | None, ...], steps: list[tuple[object, ...]]
) -> None:
    play(start, folder, taxes, steps)
