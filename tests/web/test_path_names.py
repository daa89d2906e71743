"""Names in paths stay whole, whatever characters they have."""

from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from billing.web.path_names import path_name, whole_names
from tests.web.event_loops import outcome


def names_in(raw_path: str) -> list[str]:
    """The parts of a path as an application gets them, with their names read."""
    seen: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        seen.extend(path_name(part) for part in scope["path"].split("/"))

    decoded = {"type": "http", "path": "/decoded", "raw_path": raw_path.encode("ascii")}
    outcome(whole_names(application)(decoded, None, None))  # type: ignore[arg-type]
    return seen


@given(names=st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_names_come_out_as_they_went_in(names: list[str]) -> None:
    slash = "/%2F/" + "/".join(quote(name, safe="") for name in names)
    assert names_in(slash) == ["", "/", *names]


def test_a_path_without_an_encoded_slash_is_left_to_the_server() -> None:
    assert names_in("/v1/rooms/%C3%A9") == ["", "decoded"]
