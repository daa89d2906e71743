"""Events that come in, and what became of them.

POST /v1/events          202 {"batch": …, "rows": 100, "state": "stored"}
GET  /v1/batches/{id}    the same, then "state": "done" with "accepted", "duplicates", "quarantined"
"""

import re
from typing import Any

from anyio import to_thread
from litestar import MediaType, Request, Response, get, post
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath

from billing.ledger.tokens import Caller
from billing.web.access import needs
from billing.web.access_log import IS_INTAKE
from billing.web.content_encodings import ENCODINGS, LARGEST_BODY, DamagedError, TooLargeError, decoded
from billing.web.event_bodies import TYPES, UnknownTypeError, lines_of
from billing.web.intake import MOST_ROWS, Intake

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.ASCII | re.IGNORECASE)
_LARGE_BYTES = 256 * 1024  # a body of this size is read in a thread, so that others need not wait

Asked = Request[Caller, Any, Any]


@post("/v1/events", guards=[needs("ingest")], opt={IS_INTAKE: True}, status_code=202)
async def take_events(request: Asked) -> Response[dict[str, object]]:
    """Takes events: NDJSON, a JSON array, or CloudEvents. The answer comes when they are on the disk."""
    intake: Intake = request.app.state.intake
    intake.check_room()
    intake.check_rate(request.user)
    lines = await _lines(request)
    batch = await intake.take_rows(request.user, lines)
    batch_id = batch.sealed_id(intake.batches.key, request.user.account_id)
    if wait := _WAIT.search(request.headers.get("prefer", "")):
        await intake.done(batch, int(wait[1]))
        answer = await to_thread.run_sync(intake.batches.answer, batch_id, batch)
        return Response(answer or {}, status_code=202, headers={"Preference-Applied": f"wait={int(wait[1])}"})
    return Response({"batch": batch_id, "rows": batch.rows, "state": "stored"}, status_code=202)


@get("/v1/batches/{batch_id:str}", guards=[needs("ingest", "read")], sync_to_thread=True, media_type=MediaType.JSON)
def one_batch(request: Asked, batch_id: FromPath[str]) -> dict[str, object]:
    """What became of a batch; it is kept for 7 days."""
    intake: Intake = request.app.state.intake
    answer = intake.batches.answer(batch_id, intake.batch(request.user, batch_id))
    if answer is None:
        raise NotFoundException(f"there is no batch {batch_id!r} any more")
    return answer


async def _lines(request: Asked) -> list[bytes]:
    """The rows of a request."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in (*ENCODINGS, "identity", ""):
        raise HTTPException(f"Content-Encoding is {' or '.join(ENCODINGS)}", status_code=415)
    body = await request.body()
    if len(body) >= _LARGE_BYTES or encoding in ENCODINGS:
        return await to_thread.run_sync(_read, request, body, encoding)
    return _read(request, body, encoding)


def _read(request: Asked, body: bytes, encoding: str) -> list[bytes]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        plain = decoded(body, encoding) if encoding in ENCODINGS else body
        lines = lines_of(plain, media_type, request.headers)
    except UnknownTypeError:
        raise HTTPException(f"Content-Type is one of {', '.join(TYPES)}", status_code=415) from None
    except TooLargeError:
        detail = f"a body has at most {LARGEST_BODY:,} bytes when it is unpacked: send it in parts"
        raise HTTPException(detail, status_code=413) from None
    except DamagedError as error:
        raise ClientException(f"{error}: send it again") from None
    if len(lines) > MOST_ROWS:
        raise HTTPException(f"a request has at most {MOST_ROWS:,} rows: send them in parts", status_code=413)
    return lines
