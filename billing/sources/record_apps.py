"""Which app a record belongs to, and what is assumed for that app where the record is silent.

`--app 7` says it for all records. Without it the record itself does: the catalog maps the name that it has for its app,
`[[app]] feed = "livekit:APIexample1"`. A record that names an app of its own must fit `--app`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from billing.catalog.catalog import App
from billing.catalog.feeds import Assumptions, Size
from billing.sources.files.ndjson import UnreadableError
from billing.sources.record_fields import Event, Fields, optional_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The app of a record and what is assumed for it."""

    app_id: int
    assume: Assumptions

    def size(self, kind: str, fields: Fields) -> Event:
        """The columns of the size of a `camera` or `screen`: as `fields` have it, else as it is assumed."""
        width, height = (optional_integer(fields.get(side), side) for side in ("width", "height"))
        if width and height:
            return {"width": width, "height": height}
        assumed = self.assume.size(kind)
        if assumed is None:
            example = "1280x720" if kind == "camera" else "1920x1080"
            raise UnreadableError(
                "missing_field",
                f'the record has no size: set {kind} = "{example}" under [app.assume] of app {self.app_id} in the '
                "catalog, and ingest the file again",
            )
        return {"width": assumed[0], "height": assumed[1], "assumed": "size"}

    def receives(self, kind: str = "", *, defaults: Mapping[str, str] | None = None) -> Event:
        """The columns of a user of some kind who receives what others publish, or nothing. The record does not say."""
        chosen = self.assume.kinds.get(kind) or (defaults or {}).get(kind) or self.assume.subscribe or "all"
        return {"receives": "all" if chosen == "all" else None, "assumed": "receives"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """The server that wrote some records, the app of `--app`, and the apps of the catalog. The sizes stand before those
    of the catalog."""

    source: str
    app_id: int | None = None
    apps: Mapping[int, App] = field(default_factory=dict)
    camera_size: Size | None = None
    screen_size: Size | None = None


class RecordApps:
    """The apps of the records of one source."""

    def __init__(self, options: RecordOptions) -> None:
        self._options = options
        self._named: dict[str, Terms] = {}
        for app in options.apps.values():
            for feed in app.feed:
                source, _, name = feed.partition(":")
                if source == options.source:
                    self._named[name] = self._terms(app.id)
        self._given = None if options.app_id is None else self._terms(options.app_id)

    def of(self, name: str | None) -> Terms:
        """The app of a record that names it so, or does not name it (None)."""
        named = None if name is None else self._named.get(name)
        if self._given is None:
            if named is None:
                raise UnreadableError("unknown_app", self._unmapped(name))
            return named
        if name is not None and not self._fits(name, named):
            raise UnreadableError(
                "bad_value",
                f"the record names {self._options.source}:{name}, which is not app {self._given.app_id}: leave out "
                f'--app, or give the app feed = "{self._options.source}:{name}" in the catalog',
            )
        return self._given

    def _fits(self, name: str, named: Terms | None) -> bool:
        """Whether a name is one of the app given: by the catalog, else by its number, else if the app has no feed."""
        if self._given is None or named is not None:
            return named == self._given
        if self._options.source == "trtc":
            return name == str(self._given.app_id)
        return self._given not in self._named.values()

    def _unmapped(self, name: str | None) -> str:
        if name is None:
            return "the record does not name its app: give --app"
        return f'no app has feed = "{self._options.source}:{name}" in the catalog: give it to one, or give --app'

    def _terms(self, app_id: int) -> Terms:
        assume = self._options.apps[app_id].assume if app_id in self._options.apps else Assumptions()
        sizes = {"camera": self._options.camera_size, "screen": self._options.screen_size}
        given: dict[str, Any] = {kind: f"{size[0]}x{size[1]}" for kind, size in sizes.items() if size}
        return Terms(app_id=app_id, assume=replace(assume, **given))
