"""Calls: a request to the Tencent Cloud API as it came, before anything of it is believed.

There are two forms. Version 3 has its common parameters in headers (`X-TC-Action`, `X-TC-Version`, `X-TC-Timestamp`)
and those of the action in a JSON body or in the query of a GET. Version 1 has all of them in the query or in a form:

    Action=DescribeTrtcUsage&Version=2019-07-22&Timestamp=1773100800&SecretId=…&Signature=…&SdkAppId=1400000001

A list is `UserIds.0=anna&UserIds.1=ben` there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from billing.web.tencent.call_errors import CallError, invalid, missing

VERSION = "2019-07-22"
# The parameters of version 1 that belong to no action.
_COMMON = frozenset(
    (
        *("Action", "Version", "Region", "Timestamp", "Nonce", "SecretId", "Signature", "SignatureMethod"),
        *("Token", "Language", "RequestClient"),
    )
)
_MOST_FIELDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: the names of `headers` are in lower case, `query` and `body` are as they came."""

    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes

    @property
    def is_version_3(self) -> bool:
        """Whether the common parameters are in the headers."""
        return "x-tc-action" in self.headers or "authorization" in self.headers

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing: a browser that looks at the address."""
        return self.method == "GET" and not self.is_version_3 and "Action" not in self.form()

    def form(self) -> dict[str, str]:
        """The fields of the query of a GET, or of the form of a POST."""
        text = self.query if self.method == "GET" else self.body.decode("utf-8", "replace")
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError:
            raise invalid(f"a request has at most {_MOST_FIELDS} fields") from None

    def common(self, name: str) -> str:
        """A common parameter, such as `Action`; a `CallError` when it is missing."""
        found = self.headers.get(f"x-tc-{name.lower()}") if self.is_version_3 else self.form().get(name)
        if not found:
            raise missing(f"X-TC-{name} (a header)" if self.is_version_3 else name)
        return found

    def parameters(self) -> dict[str, Any]:
        """The parameters of the action."""
        if self.is_version_3 and self.method == "POST":
            return self._json()
        return _nested({name: value for name, value in self.form().items() if self.is_version_3 or name not in _COMMON})

    def _json(self) -> dict[str, Any]:
        if self.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise CallError("InvalidRequest", "send the parameters of a POST as application/json")
        try:
            found = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise invalid("the body is not JSON") from None
        if not isinstance(found, dict):
            raise invalid("the body is not a JSON object")
        return found


def _nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields with lists in place of `Name.0`, `Name.1`."""
    found: dict[str, Any] = {}
    lists: dict[str, dict[int, str]] = {}
    for name, value in fields.items():
        base, _, place = name.partition(".")
        if place.isdecimal() and len(place) < 6:
            lists.setdefault(base, {})[int(place)] = value
        else:
            found[name] = value
    return found | {name: [values[place] for place in sorted(values)] for name, values in lists.items()}
