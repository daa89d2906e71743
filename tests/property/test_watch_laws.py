"""Whatever happens while a directory is watched, each file ends where it belongs, whole, and was ingested before."""

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError
from billing.jobs.ingest import FileReport
from billing.jobs.watch import Spool, Watch


class _Killed(BaseException):
    """A process ends in the middle of what it does."""


class _World:
    """A home that breaks when it is told to, and processes that are killed before or after an ingest."""

    def __init__(self, directory: Path) -> None:
        self.spool = Spool(directory=directory, done=directory / "done", failed=directory / "failed", settle_seconds=0)
        self.now = 1e9
        self.home_is_well = True
        self.kills: list[str] = []
        self.ingested: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """A new process."""
        self.watch = Watch(
            spool=self.spool, ingest=self._ingest, check_home=self._check, clock=lambda: self.now, refresh=None
        )

    def turn(self) -> None:
        """A turn of the process, or of the one that is started after it was killed."""
        self.now += 60
        try:
            list(self.watch.turn())
        except _Killed:
            self.start()

    def _check(self) -> None:
        if not self.home_is_well:
            raise BillingError("the disk is full")

    def _ingest(self, path: Path) -> FileReport:
        kill = self.kills.pop() if self.kills else ""
        if kill == "before":
            raise _Killed
        self._check()
        text = path.read_text()
        if text.startswith("bad"):
            return FileReport(file=path.name, error=f"{path.name}: damaged")
        self.ingested[text] += 1
        if kill == "after":
            raise _Killed
        return FileReport(file=path.name, read=1, accepted=1)


_ACTIONS = st.one_of(
    st.tuples(st.just("arrives"), st.sampled_from(["a.ndjson", "b.csv.gz", "c"]), st.sampled_from(["good", "bad"])),
    st.tuples(st.just("is killed"), st.sampled_from(["before", "after"])),
    st.tuples(st.sampled_from(["breaks", "is mended", "turns", "restarts"])),
)


@given(actions=st.lists(_ACTIONS, max_size=30))
def test_no_file_is_lost_or_overwritten_and_each_is_ingested(actions: list[tuple[str, ...]]) -> None:
    with TemporaryDirectory() as directory:
        world = _World(Path(directory))
        arrived: list[str] = []
        for number, (action, *what) in enumerate(actions):
            match action:
                case "arrives":
                    if not os.path.lexists(world.spool.directory / what[0]):
                        arrived.append(f"{what[1]} {number}")
                        (world.spool.directory / what[0]).write_text(arrived[-1])
                case "is killed":
                    world.kills.append(what[0])
                case "breaks" | "is mended":
                    world.home_is_well = action == "is mended"
                case "turns":
                    world.turn()
                case "restarts":
                    world.start()
        world.home_is_well = True
        while any(path.is_file() for path in world.spool.directory.iterdir()):
            world.turn()
        done, failed = (
            sorted(path.read_text() for path in place.glob("*") if path.suffix != ".reason")
            for place in (world.spool.done, world.spool.failed)
        )
        assert done == sorted(text for text in arrived if text.startswith("good"))
        assert failed == sorted(text for text in arrived if text.startswith("bad"))
        assert sorted(world.ingested) == done
