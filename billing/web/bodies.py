"""Bodies in JSON: checked against a structure; what does not fit is 400, and the message names the field."""

import re
from typing import Any

import msgspec
from litestar.exceptions import ClientException

_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


def read_body(content: bytes, shape: Any) -> Any:
    """The body as its structure."""
    try:
        return msgspec.json.decode(content or b"{}", type=shape)
    except msgspec.ValidationError as error:
        found = _PLACE.fullmatch(str(error))
        raise ClientException(f"{found[2]}: {found[1]}" if found else f"the body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientException(f"the body is not JSON: {error}") from None


def body_schema(shape: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON schema of a structure, and the components that it refers to."""
    (schema,), components = msgspec.json.schema_components([shape], ref_template="#/components/schemas/{name}")
    return schema, components
