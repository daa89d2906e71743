"""Feeds and assumptions in the catalog: what may be written, what is kept, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from billing.catalog.feeds import Assumptions, assumptions_in_words
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from billing.errors import BillingError
from tests.commands import Commands

ACCOUNT = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
"""
APP = """
[[app]]
id = 7
account = "acme"
name = "Classroom"
feed = "livekit:APIexample1"

[app.assume]
camera = "1280x720"
subscribe = "none"

[app.assume.kinds]
"SIP" = "none"
"My kind" = "all"
"""


def test_an_app_says_how_records_name_it_and_what_is_assumed() -> None:
    app = parse_catalog(APP, "acme.toml").apps[7]
    assert app.feed == ("livekit:APIexample1",)
    kinds = {"SIP": "none", "My kind": "all"}
    assert app.assume == Assumptions(camera="1280x720", subscribe="none", kinds=kinds)
    assert (app.assume.size("camera"), app.assume.size("screen")) == ((1280, 720), None)


def test_an_app_may_have_several_feeds() -> None:
    text = APP.replace('"livekit:APIexample1"', '["livekit:APIexample1", "trtc:1400000042"]')
    assert parse_catalog(text, "acme.toml").apps[7].feed == ("livekit:APIexample1", "trtc:1400000042")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"livekit:APIexample1"', '"livekit"', "feed: 'livekit' is not a source and a name"),
        ('"livekit:APIexample1"', '"lifekit:A"', "feed: unknown source 'lifekit'; did you mean 'livekit'?"),
        ('"livekit:APIexample1"', "7", "feed: 7 is not text in quotes"),
        ('"livekit:APIexample1"', '["trtc:1", "trtc:1"]', "feed: names a feed twice"),
        ('"1280x720"', '"720p"', "assume.camera: '720p' is not a size in pixels such as 1280x720"),
        ('"1280x720"', "720", 'assume.camera: 720 is not a size in quotes such as "1280x720"'),
        ('subscribe = "none"', 'subscribe = "some"', "assume.subscribe: 'some' is not 'all' or 'none'"),
        ('"SIP" = "none"', '"SIP" = true', "assume.kinds.SIP: true is not 'all' or 'none'"),
        ("camera =", "kamera =", "assume: unknown key 'kamera'; did you mean 'camera'?"),
    ],
)
def test_what_cannot_be_used_is_a_mistake_with_its_place(before: str, after: str, said: str) -> None:
    with pytest.raises(BillingError) as refused:
        parse_catalog(APP.replace(before, after), "acme.toml")
    assert said in str(refused.value)


def test_a_feed_belongs_to_one_app() -> None:
    catalog = parse_catalog(ACCOUNT + APP + APP.replace("id = 7", "id = 8"), "acme.toml")
    with pytest.raises(BillingError, match='app 8: feed "livekit:APIexample1" is that of app 7'):
        check_catalog(catalog)


def test_what_is_stored_comes_out_again(tmp_path: Path) -> None:
    commands, file = Commands(home=tmp_path / "home"), tmp_path / "acme.toml"
    file.write_text(ACCOUNT + APP)
    assert commands("init").exit_code == 0
    assert commands(f"catalog apply {file}").exit_code == 0
    file.write_text(commands("catalog show").stdout)
    done = commands(f"catalog apply {file} --format json")
    assert [change["action"] for change in json.loads(done.stdout)] == ["unchanged", "unchanged"]
    file.write_text(ACCOUNT + APP.replace("1280x720", "640x360").replace('"livekit:APIexample1"', '"trtc:1"'))
    (changed,) = json.loads(commands(f"catalog apply {file} --format json").stdout)[1:]
    assert changed["detail"] == (
        "feed: livekit:APIexample1 → trtc:1; "
        "assume: camera 1280x720, subscribe none, kinds SIP none, My kind all → "
        "camera 640x360, subscribe none, kinds SIP none, My kind all"
    )


@pytest.mark.parametrize(
    ("feeds", "assume", "words"),
    [
        ((), {}, None),
        (("mediasoup:a",), {}, None),
        (("mediasoup:a",), {"screen": "1920x1080"}, "screens of unknown size are billed as 1920x1080"),
        (("trtc:1",), {}, "users are billed as subscribed to everything published"),
        (("livekit:a",), {}, "users are billed as subscribed to everything published, but for SIP"),
        (("livekit:a",), {"kinds": {"SIP": "all"}}, "users are billed as subscribed to everything published"),
        ((), {"subscribe": "all"}, "users are billed as subscribed to everything published"),
        (("trtc:1",), {"subscribe": "none"}, None),
        (
            ("livekit:a",),
            {"kinds": {"SIP": "none", "EGRESS": "none", "AGENT": "all"}, "camera": "640x360"},
            "users are billed as subscribed to everything published, but for EGRESS, SIP; "
            "cameras of unknown size are billed as 640x360",
        ),
        (
            ("livekit:a",),
            {"subscribe": "none", "kinds": {"EGRESS": "all"}},
            "EGRESS are billed as subscribed to everything published, other users to nothing",
        ),
    ],
)
def test_what_is_assumed_is_said_in_words(feeds: tuple[str, ...], assume: dict[str, Any], words: str | None) -> None:
    assert assumptions_in_words(feeds, Assumptions(**assume)) == words
