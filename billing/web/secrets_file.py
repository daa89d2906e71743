"""`secrets.toml` in the home: what the service must know in plain text to check signatures.

    [[tencent]]
    secret_id = "AKIDexample"
    secret_key = "…"            # or secret_key_env = "NAME of a variable"
    account = "acme"            # absent: the operator

    [[callback]]
    source = "livekit"
    app = 1400000001
    key = "APIkey"              # where the sender has one
    secret = "…"                # or secret_env = "NAME of a variable"

Only its owner may read the file (mode 0600); else it is refused.
"""

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from billing.errors import BillingError

SECRETS_FILE = "secrets.toml"
CALLBACK_SOURCES = ("livekit", "trtc", "agora", "bbb", "janus")

_SHAPES: dict[str, dict[str, type]] = {
    "tencent": {"secret_id": str, "secret_key": str, "account": str},
    "callback": {"source": str, "app": int, "key": str, "secret": str},
}
_OPTIONAL = {"account", "key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TencentKey:
    """A key of the Tencent Cloud API; without account it is the operator's."""

    secret_id: str
    secret_key: str = field(repr=False)
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSecret:
    """What the callbacks of one app are signed with."""

    source: str
    app: int
    key: str | None = None
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """All secrets of an installation."""

    tencent: tuple[TencentKey, ...] = ()
    callbacks: tuple[CallbackSecret, ...] = ()

    def tencent_key(self, secret_id: str) -> TencentKey | None:
        """The key of an id."""
        return next((key for key in self.tencent if key.secret_id == secret_id), None)

    def of_callback(self, source: str, app: int) -> tuple[CallbackSecret, ...]:
        """The secrets that may sign a source's callbacks for an app: several while one is replaced by another."""
        return tuple(each for each in self.callbacks if (each.source, each.app) == (source, app))


def read_secrets(home: Path) -> Secrets:
    """The secrets of a home; none where it has no file. A `BillingError` says what is wrong with the file."""
    path = home / SECRETS_FILE
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Secrets()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BillingError(f"{path} cannot be read ({reason}): put that right and start again") from None
    if stat.S_IMODE(mode) & 0o077:
        raise BillingError(f"{path} may be read by others: run `chmod 600 {path}`")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BillingError(f"{path} is not TOML ({error}): put that right and start again") from None
    if unknown := sorted(set(found) - set(_SHAPES)):
        raise BillingError(f"{path}: unknown table [[{unknown[0]}]]; known are [[tencent]] and [[callback]]")
    tencent = tuple(TencentKey(**entry) for entry in _entries(path, found, "tencent"))
    callbacks = tuple(CallbackSecret(**entry) for entry in _entries(path, found, "callback"))
    for each in callbacks:
        if each.source not in CALLBACK_SOURCES:
            raise BillingError(f"{path}: unknown source {each.source!r}; known are {', '.join(CALLBACK_SOURCES)}")
    return Secrets(tencent=tencent, callbacks=callbacks)


def _entries(path: Path, found: dict[str, Any], table: str) -> list[dict[str, Any]]:
    entries = found.get(table, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BillingError(f"{path}: write [[{table}]], in double brackets")
    return [_entry(f"{path}: [[{table}]] {number}", entry, _SHAPES[table]) for number, entry in enumerate(entries, 1)]


def _entry(where: str, entry: dict[str, Any], shape: dict[str, type]) -> dict[str, Any]:
    values = dict(_value(where, name, value) for name, value in entry.items())
    if unknown := sorted(set(values) - set(shape)):
        raise BillingError(f"{where}: unknown key {unknown[0]}; known are {', '.join(shape)}")
    if missing := [name for name in shape if name not in values and name not in _OPTIONAL]:
        raise BillingError(f"{where}: {missing[0]} is missing")
    for name, value in values.items():
        if type(value) is not shape[name] or value == "":
            raise BillingError(f"{where}: {name} must be {'text' if shape[name] is str else 'a whole number'}")
    return values


def _value(where: str, name: str, value: Any) -> tuple[str, Any]:
    """A key that ends in `_env` names the variable that has the value."""
    if not name.endswith("_env"):
        return name, value
    if not os.environ.get(str(value)):
        raise BillingError(f"{where}: the variable {value} of {name} is not set")
    return name.removesuffix("_env"), os.environ[str(value)]
