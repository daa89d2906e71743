"""The form of an answer: by name, else by the weights of Accept."""

import pytest

from billing.web.media_types import NotAcceptableError, chosen_form

ROWS = ("json", "csv")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; q=1", "csv"),
        ("application/*;q=0.3, text/*;q=0.2", "json"),
        ("application/json;q=0.2, */*;q=0.1", "json"),
        ("application/json;q=0, */*;q=0.1", "csv"),
        ("text/html, */*;q=0.01", "json"),
        ("text/csv;q=wrong, application/json;q=0.1", "json"),
    ],
)
def test_the_heaviest_form_that_there_is_wins(accept: str | None, form: str) -> None:
    assert chosen_form(ROWS, asked=None, accept=accept) == form


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0, text/csv;q=0", ";;,"])
def test_a_form_that_does_not_exist_is_refused_with_those_that_do(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match="application/json or text/csv"):
        chosen_form(ROWS, asked=None, accept=accept)


def test_a_name_goes_before_the_header() -> None:
    assert chosen_form(ROWS, asked="csv", accept="application/json") == "csv"
    with pytest.raises(NotAcceptableError, match="format: 'pdf' is not possible here: json or csv"):
        chosen_form(ROWS, asked="pdf", accept="*/*")
