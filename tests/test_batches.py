"""A process for one long command."""

import ctypes
import os

import pytest

from billing.cli.batches import prepare_for_batches


def test_what_the_operator_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    prepare_for_batches()
    assert os.environ["POLARS_MAX_THREADS"] == "7"


@pytest.mark.parametrize("library", [object(), None])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def loaded(name: None) -> object:
        if library is None:
            raise OSError(name)
        return library

    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    monkeypatch.setattr(ctypes, "CDLL", loaded)
    prepare_for_batches()
