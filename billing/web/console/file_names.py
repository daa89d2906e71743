"""Names of files in explanations: a customer sees them, and not where the operator keeps the files."""

from dataclasses import replace
from pathlib import PurePath

from billing.reports.explained_rooms import Boundary, ExplainedInterval


def without_folders(stretch: ExplainedInterval) -> ExplainedInterval:
    """`/srv/feeds/events.ndjson` is `events.ndjson`."""
    return replace(stretch, begins=_named(stretch.begins), ends=_named(stretch.ends))


def _named(boundary: Boundary) -> Boundary:
    return replace(boundary, file=boundary.file and PurePath(boundary.file).name)
