"""The archive: a directory that holds the event files of old days, outside the log, from which they can be put back.

    archive.json                            what is here, and the commit of the log that it was taken from
    day=2025-12-31/0000000007-00000.parquet files as they were in the log

Files are copied first, then the log says that its days before a certain one are archived, and last they leave it.
Putting them back goes the other way. So a command that was killed is run again. A home has one archive directory.
"""

import json
import os
import shutil
from dataclasses import asdict
from datetime import date
from pathlib import Path

from billing.errors import BillingError, UsageError
from billing.events.data_files import DataFile
from billing.events.durable_files import replace_file, sync
from billing.events.key_index import DIRECTORY
from billing.events.log import EventLog
from billing.events.log_table import Archive, commit_files, files_of, open_table, set_archive

_CONTENTS = "archive.json"


def archive_days(log: EventLog, before: date, directory: Path) -> list[date]:
    """Moves the files of the UTC days before `before` to the archive; the days that had any.

    The caller holds the lock of ingest.
    """
    there = log.archive()
    if there and there.directory != str(directory.absolute()):
        raise UsageError(f"the days before {there.before} are archived in {there.directory}: give that directory")
    table = open_table(log.directory)
    files = [file for file in files_of(table) if file.day < before] if table else []
    if not table:
        return []
    for file in files:
        _copy(log.directory / file.path, directory / file.path, directory)
    _write_contents(directory, log, {**_contents(directory), **{file.path: file for file in files}})
    set_archive(
        log.directory, Archive(before=max(before, there.before if there else before), directory=_name(directory))
    )
    days = sorted({file.day for file in files})
    if files:
        metadata = {"archived_before": before.isoformat(), "archive": _name(directory)}
        commit_files(log.directory, [], [file.path for file in files], metadata)
    for keys in (log.directory / DIRECTORY).glob("*-*-*"):
        if keys.name < before.isoformat():
            shutil.rmtree(keys)
    return days


def put_back(log: EventLog, directory: Path) -> list[date]:
    """Puts the files of an archive back into the log; the days that they are of.

    The caller holds the lock of ingest.
    """
    there = log.archive()
    table = open_table(log.directory)
    if not table or not there or there.directory != _name(directory):
        where = f"they are in {there.directory}" if there else "nothing is archived"
        raise UsageError(f"{directory} is not the archive of this home: {where}")
    _check_origin(directory, log)
    known = {file.path for file in files_of(table)}
    files = [file for path, file in _contents(directory).items() if path not in known]
    for file in files:
        source = directory / file.path
        if not source.exists() or source.stat().st_size != file.size:
            raise BillingError(f"{source} is missing or damaged: restore the archive from a backup")
        _copy(source, log.directory / file.path, log.directory)
    if files:
        commit_files(log.directory, files, [], {"put_back": _name(directory)})
    set_archive(log.directory, None)
    return sorted({file.day for file in files})


def _name(directory: Path) -> str:
    return str(directory.absolute())


def _copy(source: Path, target: Path, root: Path) -> None:
    """Copies a file, unless it is there, so that it is never there in part."""
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".new")
    shutil.copyfile(source, beside)
    sync(beside, root)
    os.replace(beside, target)
    sync(target, root)


def _contents(directory: Path) -> dict[str, DataFile]:
    """The files of an archive by their paths."""
    try:
        described = json.loads((directory / _CONTENTS).read_bytes())
        files = [DataFile(**{**file, "day": date.fromisoformat(file["day"])}) for file in described["files"]]
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, LookupError):
        raise BillingError(f"{directory / _CONTENTS} is damaged: restore the archive from a backup") from None
    return {file.path: file for file in files}


def _write_contents(directory: Path, log: EventLog, files: dict[str, DataFile]) -> None:
    last = log.last_commit()
    described = {
        "ingest_id": last.ingest_id if last else 0,
        "identity": last.identity if last else "",
        "files": [{**asdict(file), "day": file.day.isoformat()} for file in files.values()],
    }
    replace_file(directory / _CONTENTS, json.dumps(described, indent=1).encode(), directory)


def _check_origin(directory: Path, log: EventLog) -> None:
    described = json.loads((directory / _CONTENTS).read_bytes())
    if log.commit_identity(described["ingest_id"]) != described["identity"]:
        raise BillingError(f"{directory} is the archive of another event log")
