"""Which payer pays which minutes of which window."""

from billing.catalog.items import WindowUsage
from billing.rating.deductions import Deduction, deduct, minutes_by_window
from billing.rating.payers import Payer

CLASSROOM, SUPPORT = 1400000001, 1400000002
RATIOS = {"audio": 1, "sd": 2, "hd": 4, "fhd": 9, "2k": 16, "4k": 36}
ONE_TO_ONE = dict.fromkeys(RATIOS, 1)


def used(item: str, *seconds: int, app: int = CLASSROOM) -> list[WindowUsage]:
    """Seconds of one item in the first, second, ... window of the day."""
    return [WindowUsage(number * 300, app, item, amount) for number, amount in enumerate(seconds)]


def payer(name: str, units: int, *, app: int | None = None, ratios: dict[str, int] = RATIOS) -> Payer:
    return Payer(id=name, app=app, remaining=units, ratios=ratios)


def paid(usage: list[WindowUsage], *payers: Payer) -> list[tuple[int, str, str, int, int]]:
    """(number of the window, item, payer, minutes, package minutes) of every deduction."""
    deductions = deduct(minutes_by_window(usage), payers)
    return [(row.window_start // 300, row.item, row.payer_id, row.minutes, row.package_minutes) for row in deductions]


def test_a_started_minute_is_paid_once_however_many_windows_it_spans() -> None:
    """Published example: 30 s, 20 s and 40 s in three windows deduct 1, 0 and 1 minutes."""
    usage = used("audio", 30, 20, 40)
    assert [minutes for *_, minutes in minutes_by_window(usage)] == [1, 0, 1]
    assert paid(usage, payer("pkg", 100)) == [(0, "audio", "pkg", 1, 1), (2, "audio", "pkg", 1, 1)]


def test_a_minute_and_a_second_are_two_minutes() -> None:
    assert [minutes for *_, minutes in minutes_by_window(used("audio", 60))] == [1]
    assert [minutes for *_, minutes in minutes_by_window(used("audio", 61))] == [2]


def test_each_app_and_item_has_its_own_started_minutes() -> None:
    """10 s each of audio and HD in two apps are four started minutes."""
    usage = [*used("audio", 10), *used("hd", 10), *used("audio", 10, app=SUPPORT), *used("hd", 10, app=SUPPORT)]
    assert [minutes for *_, minutes in minutes_by_window(usage)] == [1, 1, 1, 1]


def test_one_hd_minute_takes_four_package_minutes() -> None:
    assert paid(used("hd", 120), payer("pkg", 100)) == [(0, "hd", "pkg", 2, 8)]


def test_free_minutes_may_be_taken_at_ratios_of_their_own() -> None:
    """One to one, as until 2023-01-11, next to a package at its ratios."""
    usage = used("hd", 180)
    free = payer("free-2022-06", 2, ratios=ONE_TO_ONE)
    assert paid(usage, free, payer("pkg", 100)) == [(0, "hd", "free-2022-06", 2, 2), (0, "hd", "pkg", 1, 4)]


def test_what_the_first_cannot_pay_goes_to_the_next_and_the_rest_to_nobody() -> None:
    """Ten audio minutes, 4 + 3 prepaid: three minutes stay payable."""
    assert paid(used("audio", 600), payer("a", 4), payer("b", 3)) == [
        (0, "audio", "a", 4, 4),
        (0, "audio", "b", 3, 3),
    ]


def test_a_package_pays_whole_minutes_only_and_keeps_what_is_too_little() -> None:
    """7 units pay one HD minute (4); the 3 that are left pay none, but audio in the next window."""
    usage = [*used("hd", 180), *used("audio", 0, 120)]
    assert paid(usage, payer("pkg", 7)) == [(0, "hd", "pkg", 1, 4), (1, "audio", "pkg", 2, 2)]


def test_the_next_package_pays_the_item_the_first_has_too_little_for() -> None:
    """3 units left: the HD minute goes to the second package, the audio minute after it still to the first."""
    usage = [*used("hd", 60), *used("audio", 0, 60)]
    assert paid(usage, payer("a", 3), payer("b", 100)) == [(0, "hd", "b", 1, 4), (1, "audio", "a", 1, 1)]


def test_inside_a_window_items_pay_from_audio_up() -> None:
    """One minute of everything and 68 units for 1 + 2 + 4 + 9 + 16 + 36 = 68: the order of the rows is no matter."""
    usage = [row for item in ("4k", "fhd", "audio", "2k", "hd", "sd") for row in used(item, 60)]
    assert [item for _, item, *_ in paid(usage, payer("pkg", 68))] == ["audio", "sd", "hd", "fhd", "2k", "4k"]
    assert [item for _, item, *_ in paid(usage, payer("pkg", 16))] == ["audio", "sd", "hd", "fhd"]


def test_inside_a_window_apps_pay_by_id_before_items() -> None:
    """The HD minute of the smaller app id comes before the audio minute of the larger."""
    usage = [*used("audio", 60, app=SUPPORT), *used("hd", 60, app=CLASSROOM)]
    assert deduct(minutes_by_window(usage), [payer("pkg", 4)]) == [Deduction(0, CLASSROOM, "hd", "pkg", 1, 4)]


def test_an_earlier_window_pays_before_a_later_one() -> None:
    """4K in the first window takes what audio in the second would have needed."""
    usage = [*used("audio", 0, 60), *used("4k", 60)]
    assert paid(usage, payer("pkg", 36)) == [(0, "4k", "pkg", 1, 36)]


def test_a_package_of_one_app_never_pays_for_another() -> None:
    usage = [*used("audio", 60), *used("audio", 60, app=SUPPORT)]
    assert deduct(minutes_by_window(usage), [payer("pkg", 100, app=SUPPORT)]) == [
        Deduction(0, SUPPORT, "audio", "pkg", 1, 1)
    ]


def test_a_day_without_payers_has_no_deductions() -> None:
    assert paid(used("audio", 60)) == []
