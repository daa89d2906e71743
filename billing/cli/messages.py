"""Messages on stderr: as text for a person, or as one JSON object a line for a log collector.

Every message goes through the logger `billing`. As text, control characters are escaped here, so that the name of a
file or user cannot move the cursor or change the colours of a terminal.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from billing.errors import BillingError, UsageError
from billing.periods import stopped_clock

_log = logging.getLogger("billing.cli")


def set_up_log(log_format: str) -> None:
    """Sends the program's messages to stderr, as `text` or `json`."""
    log = logging.getLogger("billing")
    log.handlers[:] = [_Stderr(_JsonLine() if log_format == "json" else _TextLine())]
    log.setLevel(logging.INFO)
    log.propagate = False


@contextmanager
def timed_messages() -> Iterator[None]:
    """Each message as text begins with the time (UTC): for a command that runs for long."""
    handlers = [
        handler for handler in logging.getLogger("billing").handlers if isinstance(handler.formatter, _TextLine)
    ]
    for handler in handlers:
        handler.setFormatter(_TimedLine())
    try:
        yield
    finally:
        for handler in handlers:
            handler.setFormatter(_TextLine())


def say(message: str, **fields: object) -> None:
    """Tells the user something that is not part of the report; the JSON log has the fields, too."""
    _log.info(message, extra={"more": fields})


def say_error(message: str, **fields: object) -> None:
    """Tells the user what failed, and goes on."""
    _log.error(message, extra={"more": fields})


def record(event: str, fields: dict[str, object]) -> None:
    """A line for the JSON log only; a person sees the same in the report."""
    _log.info(event, extra={"fields": fields})


def say_stopped_clock() -> None:
    """Says that `BILLING_NOW` stops the clock: events after that instant would be quarantined as `future`."""
    if instant := stopped_clock():
        _log.warning("the clock stands at %s (BILLING_NOW)", instant.isoformat())


def fail(errors: Sequence[str]) -> None:
    """Ends the command with exit code 1 if there are errors, each of which is a message."""
    for error in errors[:-1]:
        say_error(error)
    if errors:
        raise BillingError(errors[-1])


def printable(text: str) -> str:
    """Text with everything escaped that a terminal would obey rather than show."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Failure(click.ClickException):
    """How the program ends when it cannot do what it should; `usage` stands before the message, as text only."""

    def __init__(self, message: str, *, usage: str = "") -> None:
        super().__init__(message)
        self.usage = usage

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        """Writes the message to stderr."""
        _log.error(self.message, extra={"usage": self.usage})


class WrongUsage(Failure):
    """The command is invalid as it was given."""

    exit_code = 2


@contextmanager
def failures() -> Iterator[None]:
    """Turns everything that is not a bug into a `Failure` with one clear message."""
    try:
        yield
    except (UsageError, click.UsageError) as error:
        raise _wrong_usage(error) from error
    except BillingError as error:
        raise Failure(str(error)) from error
    except BrokenPipeError:
        raise  # the reader of the output has enough; click ends quietly
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Failure(f"{where}{error.strerror or error}") from error


def _wrong_usage(error: UsageError | click.UsageError) -> click.ClickException:
    if isinstance(error, UsageError):
        return WrongUsage(str(error))
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    usage = f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n\n" if error.ctx else ""
    return WrongUsage(error.format_message(), usage=usage)


class _TextLine(logging.Formatter):
    """A message as a person reads it."""

    def format(self, record: logging.LogRecord) -> str:
        label = "Error: " if record.levelno >= logging.ERROR else ""
        return getattr(record, "usage", "") + printable(f"{label}{record.getMessage()}")


class _TimedLine(_TextLine):
    """The same after the time."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%SZ} {super().format(record)}"


class _JsonLine(logging.Formatter):
    """A message as one JSON object: time, level, logger, message, and the fields that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
            **getattr(record, "more", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Stderr(logging.Handler):
    """Writes to the stderr of the moment; messages with fields are for the JSON log only."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(self.formatter, _JsonLine) or not hasattr(record, "fields"):
            click.echo(self.format(record), err=True)
