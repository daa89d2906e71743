"""The home directory: `billing.db`, the event log `events/`, quarantined rows in `quarantine/`, the writer's lock."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from billing.errors import BillingError

_log = logging.getLogger(__name__)

# What whoever holds a lock is doing.
_LOCKS = {"ingest": "adding events", "nightly": "billing or changing the catalog"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One installation: a directory, and the database that belongs to it."""

    directory: Path
    database_url: str

    @classmethod
    def at(cls, directory: Path, database_url: str | None = None) -> "Home":
        """The home at `directory`; its database is `billing.db` inside, unless a URL names another."""
        return cls(directory=directory, database_url=database_url or f"sqlite:///{directory.absolute() / 'billing.db'}")

    @property
    def events(self) -> Path:
        """The Delta table of accepted events."""
        return self.directory / "events"

    @property
    def quarantine(self) -> Path:
        """The rows that were set aside."""
        return self.directory / "quarantine"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Waits, and says so, while another process holds the lock `name` of `_LOCKS`; a killed process holds none."""
        if not self.directory.is_dir():
            raise BillingError(f"there is no billing home at {self.directory}: run `billing init` first")
        lock = FileLock(self.directory / f"{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            _log.warning("waiting: another command in this home is %s", _LOCKS[name])
            lock.acquire()
        except OSError as error:
            raise BillingError(
                f"{self.directory} cannot be written ({error.strerror}): put that right and run the command again"
            ) from error
        try:
            yield
        finally:
            lock.release()
