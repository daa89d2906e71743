"""The home directory: `billing.db`, the event log `events/`, records of media servers in `records/` and how far they
were read in `folds/`, quarantined rows in `quarantine/`, the writer's lock."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from billing.errors import BillingError, UsageError

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 0.5
TOKENS_STAMP = "tokens.stamp"  # its time changes whenever tokens do

# What the holder of a lock is doing.
_LOCKS = {
    "ingest": "adding events",
    "nightly": "billing or changing the catalog",
    "status": "writing status.json",
    "notify": "delivering messages",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One installation: a directory, and the database that belongs to it. `waiting` is called again and again while a
    lock is waited for; what it raises ends the wait."""

    directory: Path
    database_url: str | None = None
    waiting: Callable[[], None] = lambda: None

    @classmethod
    def at(cls, directory: Path, database_url: str | None = None) -> "Home":
        """The home at `directory`; its database is `billing.db` inside, unless a URL names another."""
        try:
            str(directory).encode()
        except UnicodeEncodeError:
            name = os.fsencode(directory).decode(errors="backslashreplace")
            raise UsageError(f"{name}: the name of a home must be UTF-8: choose another --home") from None
        return cls(directory=directory, database_url=database_url or None)

    def create(self) -> None:
        """Makes the directory, if it is not there; only its owner may enter it."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BillingError(
                f"{self.directory} cannot be created ({error.strerror}): choose another --home"
            ) from None

    @property
    def database(self) -> str | Path:
        """The URL of the database, or the path of its SQLite file."""
        return self.database_url or self.directory.absolute() / "billing.db"

    @property
    def events(self) -> Path:
        """The Delta table of accepted events."""
        return self.directory / "events"

    @property
    def records(self) -> Path:
        """The Delta table of the records of media servers."""
        return self.directory / "records"

    @property
    def folds(self) -> Path:
        """How far events were derived from the records of each server."""
        return self.directory / "folds"

    @property
    def room_seconds(self) -> Path:
        """The seconds of the rooms of settled days, as far as somebody asked for them; they can be computed again."""
        return self.directory / "room_seconds"

    @property
    def quarantine(self) -> Path:
        """The rows that could not be accepted."""
        return self.directory / "quarantine"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Waits, and says so, while another process holds the lock `name` of `_LOCKS`; a killed process holds none."""
        if not self.directory.is_dir():
            raise BillingError(f"there is no billing home at {self.directory}: run `billing init` first")
        from filelock import FileLock, Timeout

        lock = FileLock(self.directory / f"{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            _log.warning("waiting: another command in this home is %s", _LOCKS[name])
            while not lock.is_locked:
                self.waiting()
                with suppress(Timeout):
                    lock.acquire(timeout=_WAIT_SECONDS)
        except OSError as error:
            raise BillingError(
                f"{self.directory} cannot be written ({error.strerror}): put that right and run the command again"
            ) from error
        try:
            yield
        finally:
            lock.release()
