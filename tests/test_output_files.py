"""Where commands write: standard output, devices, pipes, links and files, and what is refused."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.errors import BillingError
from billing.output_files import Output

OLD, NEW = b"the old content, which is longer", b"the new content"


def write(path: str | Path, *, home: Path | None = None, inputs: tuple[str | Path, ...] = ()) -> None:
    with Output(path=path, home=home, inputs=inputs).open() as file:
        file.write(NEW)


def test_a_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    print("before")
    write("-")
    assert capfdbinary.readouterr().out == b"before\n" + NEW


def test_a_file_is_made_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path)
    assert path.read_bytes() == NEW
    path.write_bytes(OLD)
    path.chmod(0o640)
    with Output(path=path).open() as file:
        file.write(NEW)
        file.flush()
        assert path.read_bytes() == OLD
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (NEW, 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_leaves_the_old_one_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(OLD)
    with pytest.raises(ZeroDivisionError), Output(path=path).open() as file:
        file.write(NEW[: 1 // 0])
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_is_told_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(BillingError, match=r"cannot write .*/out: No space left on device"), Output(path=path).open():
        raise OSError(28, os.strerror(28))


@contextmanager
def read_through(path: Path) -> Iterator[list[bytes]]:
    """A reader of a pipe, and what it has read at the end."""
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    yield read
    reader.join(timeout=30)


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with read_through(path) as read:
        write(path)
    assert read == [NEW]
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_pipe_is_written_into(tmp_path: Path) -> None:
    path, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(path)
    link.symlink_to(path)
    with read_through(path) as read:
        write(link)
    assert read == [NEW]
    assert (path.is_fifo(), link.is_symlink()) == (True, True)


def test_a_device_is_written_into_and_stays_a_device() -> None:
    """A terminal of this test's own."""
    ours, theirs = os.openpty()
    device = Path(os.ttyname(theirs))
    write(device)
    assert os.read(ours, 100) == NEW
    assert device.is_char_device()
    os.close(ours)
    os.close(theirs)


def test_of_a_link_the_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    target, link = tmp_path / "data" / "out", tmp_path / "link"
    link.symlink_to(target)
    write(link)
    assert (link.is_symlink(), target.read_bytes()) == (True, NEW)
    target.write_bytes(OLD)
    write(link)
    assert (link.is_symlink(), target.read_bytes()) == (True, NEW)


def refused(path: str | Path, reason: str, *, home: Path | None = None, inputs: tuple[str | Path, ...] = ()) -> None:
    with pytest.raises(BillingError) as error:
        write(path, home=home, inputs=inputs)
    assert str(error.value).startswith(f"cannot write {path}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    refused(tmp_path / "link", "Too many levels of symbolic links")


def test_a_directory_and_a_file_in_no_directory_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "it is a directory")
    refused(tmp_path / "none" / "out", f"the directory {tmp_path / 'none'} does not exist; create it first")
    refused(tmp_path / ("x" * 300), "File name too long; choose another file")
    (tmp_path / "link").symlink_to(tmp_path / "none" / "out")
    refused(tmp_path / "link", "does not exist; create it first")


def test_nothing_is_written_into_the_home(tmp_path: Path) -> None:
    """By its name, by a relative path, by a link to the home, and by a link to a file in it."""
    home, link = tmp_path / "home", tmp_path / "link"
    home.mkdir()
    (home / "billing.db").write_bytes(OLD)
    link.symlink_to(home / "billing.db")
    (tmp_path / "other").symlink_to(home)
    beside = Path(os.path.relpath(home)) / "events" / ".." / "billing.db"
    (home / "events").mkdir()
    for path in (home / "billing.db", home / "new.xlsx", home / "events" / "x", link, tmp_path / "other" / "x", beside):
        refused(path, "it is inside the home", home=home)
    refused(home / "new.xlsx", "it is inside the home", home=tmp_path / "other")
    assert (home / "billing.db").read_bytes() == OLD
    write(tmp_path / "home.xlsx", home=home)


def test_what_the_command_reads_is_not_overwritten(tmp_path: Path) -> None:
    """By its name, by a link, by a hard link, and in a directory that is read as a whole."""
    (tmp_path / "feed").mkdir()
    read, inside = tmp_path / "in", tmp_path / "feed" / "in"
    for path in (read, inside):
        path.write_bytes(OLD)
    (tmp_path / "link").symlink_to(read)
    (tmp_path / "hard").hardlink_to(read)
    inputs = ("-", str(tmp_path / "gone"), str(read), str(tmp_path / "feed"))
    for path in (read, tmp_path / "link", tmp_path / "hard", inside):
        refused(path, "the command reads it", inputs=inputs)
        assert path.read_bytes() == OLD
    write(tmp_path / "out", inputs=inputs)
    write(tmp_path / "feed" / "out", inputs=inputs)


_WRITER = """
import sys
from billing.output_files import Output
with Output(path=sys.argv[1]).open() as file:
    file.write(sys.argv[2].encode())
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def writer(path: Path, content: str) -> subprocess.Popen[str]:
    """A process that has written into a file beside `path`, and puts it in place when its stdin ends."""
    command = [sys.executable, "-c", _WRITER, str(path), content]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with writer(path, "first") as first:
        assert first.stdout
        assert first.stdout.readline() == "written\n"
        with writer(path, "second") as second:
            assert second.stdin
            second.stdin.close()
            time.sleep(0.5)
            assert second.poll() is None
            assert len(list(tmp_path.iterdir())) == 1
            assert first.stdin
            first.stdin.close()
            assert (first.wait(30), second.wait(30)) == (0, 0)
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_what_the_next_one_removes(tmp_path: Path) -> None:
    """And nothing of other files, whose names look like it."""
    path, like = tmp_path / "out", tmp_path / ".out.0123456789abcdef.part.gz"
    like.write_bytes(OLD)
    path.write_bytes(OLD)
    with writer(path, "first") as killed:
        assert killed.stdout
        assert killed.stdout.readline() == "written\n"
        killed.kill()
    assert path.read_bytes() == OLD
    assert len(list(tmp_path.iterdir())) == 3
    write(path)
    assert path.read_bytes() == NEW
    assert sorted(tmp_path.iterdir()) == [like, path]
