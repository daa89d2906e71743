"""The intake: from the body of a request to rows that are safe on the disk, and on into the event log.

The answer promises: these bytes survive `kill -9` and a loss of power, and each row will be accepted, a duplicate or
quarantined.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import to_thread
from litestar import Litestar
from litestar.exceptions import NotFoundException, ServiceUnavailableException, TooManyRequestsException

from billing.ledger.tokens import Caller
from billing.web.batches import Batch, Batches, batch_of
from billing.web.drainer import Drainer
from billing.web.event_bodies import apps_named, joined
from billing.web.installation import Installation
from billing.web.rates import Rates
from billing.web.segments import EVENTS, Feed
from billing.web.spool import Entry, FullError, Spool

MOST_ROWS = 50_000
LONGEST_WAIT_SECONDS = 30
LARGEST_LAG_SECONDS = 900  # above it the service is not ready

_SPOOL = "spool"
_LOOK_SECONDS = 0.02
_OWNERS_SECONDS = 1.0
_FEW_ROWS = 500  # more are looked at in a thread, so that others need not wait
_STOP_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class Intake:
    """The spool of an installation with what fills and empties it."""

    installation: Installation
    spool: Spool
    batches: Batches
    drainer: Drainer
    rates: Rates
    is_stopping: bool = False
    is_drained: bool = True  # the drainer has ended in time

    _loop: asyncio.AbstractEventLoop | None = None
    _owners: tuple[float, dict[int, str]] = (-_OWNERS_SECONDS, {})  # the account of each app, and when that was read
    _owners_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(
        cls, installation: Installation, *, refreshes: bool = True, keep_days: int = 0, rates: Rates | None = None
    ) -> "Intake":
        """The intake of an installation."""
        directory = installation.home.directory / _SPOOL
        batches = Batches(spool=directory)
        spool = Spool(directory=directory)
        home, engine = installation.home, installation.engine
        drainer = Drainer(
            home=home, engine=engine, spool=spool, batches=batches, refreshes=refreshes, keep_days=keep_days
        )
        intake = cls(installation=installation, spool=spool, batches=batches, drainer=drainer, rates=rates or Rates())
        spool.tell, spool.sealed = intake._tell, drainer.wake
        return intake

    @asynccontextmanager
    async def running(self, _app: Litestar) -> AsyncIterator[None]:
        """Takes events as long as the application runs; at the end all that came is sealed."""
        self._loop = asyncio.get_running_loop()
        await to_thread.run_sync(self.batches.open)
        await to_thread.run_sync(self._open)
        self.drainer.start()
        try:
            yield
        finally:
            self.stop_taking()
            await to_thread.run_sync(self.spool.close)
            self.is_drained = await to_thread.run_sync(self.drainer.stop, _STOP_SECONDS)

    def _open(self) -> None:
        self.drainer.put_back()
        self.spool.open()

    def stop_taking(self) -> None:
        """Refuses what comes from now on; who waits for a batch is answered."""
        self.is_stopping = True
        self.drainer.ask_to_stop()

    async def take_rows(self, caller: Caller, lines: list[bytes]) -> Batch:
        """Rows of a caller, once they are on the disk."""
        if not caller.is_operator and lines:
            await self._check_apps(caller, lines)
        if not lines:
            return Batch(stamp="00000000T000000000-0000", first=1, rows=0)
        entry = await self.store(EVENTS, joined(lines), len(lines))
        return Batch(stamp=entry.stamp, first=entry.first, rows=entry.rows)

    async def store(self, feed: Feed, lines: bytes, rows: int) -> Entry:
        """Whole lines of a feed, once they are on the disk; 503 when they are not taken."""
        if self.is_stopping:
            raise _refused("the service is about to end", 5)
        assert self._loop  # noqa: S101 - it runs
        entry = Entry(feed=feed, lines=lines, rows=rows, token=self._loop.create_future())
        try:
            self.spool.add(entry)
        except FullError as full:
            raise _refused(str(full), full.retry_seconds) from None
        await entry.token  # type: ignore[misc]
        if entry.error:
            raise _refused(f"it could not be stored ({entry.error.strerror})", 10)
        return entry

    def check_rate(self, caller: Caller) -> None:
        """429 when a token sends too often."""
        if seconds := self.rates.take(caller.token_id):
            detail = f"this token sends more than {self.rates.per_second:g} requests a second: send more rows in each"
            raise TooManyRequestsException(detail, headers={"Retry-After": str(seconds)})

    def check_room(self) -> None:
        """503 when nothing is taken now, before a body is looked at."""
        try:
            self.spool.check_room()
        except FullError as full:
            raise _refused(str(full), full.retry_seconds) from None

    def refusal(self) -> str:
        """Why nothing is taken now, if so."""
        return "the service is about to end" if self.is_stopping else self.spool.refusal()

    def batch(self, caller: Caller, batch_id: str) -> Batch:
        """A batch that the caller may know of, by its id; else 404."""
        mine: Sequence[str | None] = [caller.account_id]
        if caller.is_operator:
            mine = [None, *self.installation.catalog().accounts]
        found = batch_of(batch_id, self.batches.key, mine)
        if found is None:
            raise NotFoundException(f"there is no batch {batch_id!r}")
        return found

    async def done(self, batch: Batch, seconds: int) -> None:
        """Waits until a batch was ingested, but no longer than this."""
        self.spool.want(batch.stamp)
        until = time.monotonic() + min(seconds, LONGEST_WAIT_SECONDS)
        while not self.batches.is_done(batch) and time.monotonic() < until and not self.is_stopping:
            await asyncio.sleep(_LOOK_SECONDS)

    async def _check_apps(self, caller: Caller, lines: list[bytes]) -> None:
        """404 when a row names an app of another account. Apps that nobody has are left to the quarantine."""
        owners = await self._owners_now()
        named = apps_named(lines) if len(lines) <= _FEW_ROWS else await to_thread.run_sync(apps_named, lines)
        for app in named:
            if not caller.sees(owners.get(app, caller.account_id)):
                raise NotFoundException(f"there is no app {app}: nothing of this request was stored")

    async def _owners_now(self) -> dict[int, str]:
        async with self._owners_lock:
            if time.monotonic() - self._owners[0] >= _OWNERS_SECONDS:
                catalog = await to_thread.run_sync(self.installation.catalog)
                self._owners = (time.monotonic(), {app.id: app.account for app in catalog.apps.values()})
        return self._owners[1]

    def _tell(self, entries: Sequence[Entry]) -> None:
        """Called by the thread of the spool."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, entries)


def _settle(entries: Sequence[Entry]) -> None:
    for entry in entries:
        future = entry.token
        if isinstance(future, asyncio.Future) and not future.done():
            future.set_result(None)


def _refused(detail: str, retry_seconds: int) -> ServiceUnavailableException:
    return ServiceUnavailableException(
        f"{detail}: nothing of this request was stored; send it again", headers={"Retry-After": str(retry_seconds)}
    )
