"""The steps of a process: every system call with which it changes a file, or speaks to a server.

The kernel stops the process before each of them and asks here (seccomp's user notifications: Linux 5.6 or newer, no
privileges, no change to the program, all threads). The answer is to go on, to fail, or none because the process is
dead. Between two steps nothing on the disk changes, so dying before each of them leaves every state in which a killed
process can leave its files, but for a single write that is cut off.
"""

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

# name: (number on x86_64, number on aarch64, None where there is none)
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "write": (1, 64),
    "open": (2, None),
    "pwrite64": (18, 68),
    "writev": (20, 66),
    "sendto": (44, 206),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "rename": (82, None),
    "mkdir": (83, None),
    "rmdir": (84, None),
    "link": (86, None),
    "unlink": (87, None),
    "openat": (257, 56),
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "renameat": (264, 38),
    "linkat": (265, 37),
    "fallocate": (285, 47),
    "pwritev": (296, 70),
    "renameat2": (316, 276),
    "copy_file_range": (326, 285),
}
_MACHINES = {"x86_64": (0, 317), "aarch64": (1, 277)}  # column above, number of `seccomp`
_BY_PATH = {"open": 0, "truncate": 0, "rename": 0, "mkdir": 0, "rmdir": 0, "link": 1, "unlink": 0}
_BY_PATH_AT = {"openat": 0, "mkdirat": 0, "unlinkat": 0, "renameat": 0, "linkat": 2, "renameat2": 0}
_SERVER = " server"
_NOT_KEPT = "-shm"  # SQLite's shared memory, made anew by whoever comes first
_WRITING = ("write", "pwrite64", "writev", "pwritev", "fallocate")
_GROWING = (*_WRITING, "open", "openat", "mkdir", "mkdirat")
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_AT_CWD = 0xFFFFFF9C
_LONGEST_PATH = 4096

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_QUESTION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_GO_ON = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What happens to a process: it dies before a step (from 1), or after so many seconds, or its disk fails.

    From the step `fails_from` on its system calls end with `error`: with `ENOSPC` those that need room on the disk,
    with `ECONNRESET` those that speak to a server, whose connection is cut, with another one all that are about files.
    None of these: steps are only counted, and not even that when it is not `watched`.
    """

    watched: bool = True
    dies_at: int | None = None
    dies_after: float | None = None
    fails_from: int | None = None
    error: str = "ENOSPC"


@dataclass(slots=True, kw_only=True)
class Course:
    """How a process went: its steps, as `write events/day=…` (of files below the directory watched, and servers)."""

    status: int = 0
    seconds: float = 0.0
    steps: list[str] = field(default_factory=list)
    printed: str = ""  # on stdout
    said: str = ""  # on stderr

    @property
    def killed(self) -> bool:
        """It died, and did not end by itself."""
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    @property
    def exit_code(self) -> int:
        """How it ended; negative: the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)

    @property
    def failed_clearly(self) -> bool:
        """It said what failed, in a line for each thing that did."""
        return self.exit_code == 1 and "\nError: " in f"\n{self.said}" and "Traceback" not in self.said


def unavailable() -> str | None:
    """Why steps cannot be counted on this machine; None: they can."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return f"steps are counted on Linux on x86_64 or aarch64, not on {platform.system()} on {platform.machine()}"
    course = run(lambda: None, Path("/"), Fate())
    if course.exit_code:
        return "steps are counted by seccomp user notifications (Linux 5.6 or newer), which are not allowed here"
    return None


def run(work: Callable[[], object], directory: Path, fate: Fate) -> Course:
    """Runs `work` in a child process, which meets its `fate`; steps are those on files below `directory`."""
    started = time.monotonic()
    pid, listeners = _started(work, fate)
    course = Course()
    for listener in listeners:
        _watch(pid, listener, str(directory), fate, course, started)
        os.close(listener)
    _, course.status = os.waitpid(pid, 0)
    course.seconds = time.monotonic() - started
    return course


def run_together(works: Sequence[Callable[[], object]]) -> list[Course]:
    """Runs each in a child process of its own, all at the same time."""
    pids = [_started(work, Fate(watched=False))[0] for work in works]
    return [Course(status=os.waitpid(pid, 0)[1]) for pid in pids]


def _started(work: Callable[[], object], fate: Fate) -> tuple[int, list[int]]:
    """The id of a child process, and what tells of its steps if it is watched."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        _be_watched(there, work, fate)
    there.close()
    os.setpgid(pid, pid)
    with here:
        _, listeners, _, _ = socket.recv_fds(here, 1, 1)
    return pid, listeners


def _be_watched(parent: socket.socket, work: Callable[[], object], fate: Fate) -> None:
    """The child: never returns."""
    status = 70
    try:
        listeners = [_listener()] if fate.watched else []
        socket.send_fds(parent, [b"1"], listeners)
        for listener in listeners:
            os.close(listener)
        parent.close()
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(status)


def _watch(pid: int, listener: int, directory: str, fate: Fate, course: Course, started: float) -> None:
    """Answers until the process is gone."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        left = None if fate.dies_after is None else max(0.0, started + fate.dies_after - time.monotonic()) * 1000
        ready = poll.poll(left)
        if not ready:
            os.killpg(pid, signal.SIGKILL)
            return
        if not ready[0][1] & select.POLLIN:
            return
        question = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, question)
            number, thread, _, call, _, _, *arguments = _QUESTION.unpack(question)
            name = _names()[call]
            step = _step(thread, name, arguments, directory)
            error = 0
            if step:
                course.steps.append(step)
                if len(course.steps) == fate.dies_at:
                    os.killpg(pid, signal.SIGKILL)
                    return
                if fate.fails_from and len(course.steps) >= fate.fails_from:
                    error = _error(fate, name, step, directory)
                    if step.endswith(_SERVER) and fate.error == "ECONNRESET":
                        _cut(pid, arguments[0])
            fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(number, 0, -error, 0 if error else _GO_ON)))
        except FileNotFoundError:
            continue  # the thread that asked is gone


def _step(thread: int, name: str, arguments: list[int], directory: str) -> str | None:
    """What the call is about to do, if that is a step."""
    if name in _BY_PATH:
        path = _path(thread, _AT_CWD, arguments[_BY_PATH[name]])
    elif name in _BY_PATH_AT:
        first = _BY_PATH_AT[name]
        path = _path(thread, arguments[first] & 0xFFFFFFFF, arguments[first + 1])
    else:
        path = os.readlink(f"/proc/{thread}/fd/{arguments[0] & 0xFFFFFFFF}")
    if path.startswith("socket:"):
        return name + _SERVER
    if not path.startswith(f"{directory}/") or path.endswith(_NOT_KEPT):
        return None
    return f"{name} {path[len(directory) + 1 :]}"


def _error(fate: Fate, name: str, step: str, directory: str) -> int:
    """The error with which a call ends on a disk that has failed; 0: it goes on."""
    if step.endswith(_SERVER) or fate.error == "ECONNRESET":
        return 0
    if fate.error == "ENOSPC":
        # What is there already can be opened, and need not be made, on a full disk too.
        is_there = name not in _WRITING and os.path.exists(os.path.join(directory, step.partition(" ")[2]))
        if name not in _GROWING or is_there:
            return 0
    return int(getattr(errno, fate.error))


def _cut(pid: int, descriptor: int) -> None:
    """Cuts a connection of the process, for both ends."""
    process = os.pidfd_open(pid)
    connection = ctypes.CDLL(None, use_errno=True).syscall(438, process, descriptor & 0xFFFFFFFF, 0)  # pidfd_getfd
    os.close(process)
    if connection < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    with socket.socket(fileno=connection) as cut, suppress(OSError):  # it was cut before
        cut.shutdown(socket.SHUT_RDWR)


def _path(thread: int, beside: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        try:
            text = memory.read(_LONGEST_PATH)
        except OSError:
            memory.seek(address)
            text = memory.read(4096 - address % 4096)  # what follows on the next page is not there
    name = os.fsdecode(text.partition(b"\0")[0])
    if name.startswith("/"):
        return name
    base = "cwd" if beside == _AT_CWD else f"fd/{beside}"
    return os.path.join(os.readlink(f"/proc/{thread}/{base}"), name)


@cache
def _names() -> dict[int, str]:
    column, _ = _MACHINES[platform.machine()]
    return {numbers[column]: name for name, numbers in _CALLS.items() if numbers[column] is not None}  # type: ignore[misc]


def _listener() -> int:
    """Has the kernel ask before every call in `_CALLS`, of this process and all its threads to come."""
    numbers = {name: number for number, name in _names().items()}
    opening = {numbers.pop(name): flags for name, flags in (("open", 1), ("openat", 2)) if name in numbers}
    # Jumps are counted from the next instruction; the last two are: allow, ask.
    program = [(_LOAD, 0, 0, 0)]
    length = 1 + len(numbers) + 3 * len(opening) + 2
    for number in numbers.values():
        program.append((_EQUAL, length - 2 - len(program), 0, number))
    for number, flags in opening.items():
        program.append((_EQUAL, 0, 2, number))
        program.append((_LOAD, 0, 0, 16 + 8 * flags))
        at = len(program)
        program.append((_ANY_BIT, length - 2 - at, length - 3 - at, _TO_WRITE))
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK)]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # no new privileges: the kernel asks for it
    _, seccomp = _MACHINES[platform.machine()]
    listener: int = libc.syscall(seccomp, 1, 8, ctypes.create_string_buffer(header))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener
