"""Health: whether the process answers, whether it takes events, and what it has done so far."""

from typing import Any

from litestar import Request, Response, get

from billing.web.access import IS_OPEN
from billing.web.intake import LARGEST_LAG_SECONDS, Intake
from billing.web.metrics import OPEN_METRICS, metrics_text


@get("/healthz", opt=IS_OPEN)
async def healthz() -> dict[str, bool]:
    """The process is up; `/readyz` says whether it takes events."""
    return {"alive": True}


@get("/readyz", opt=IS_OPEN)
async def readyz(request: Request[Any, Any, Any]) -> Response[dict[str, object]]:
    """Whether events are taken, and how much waits to be ingested; 503 when they are not, or it lags far behind."""
    intake: Intake = request.app.state.intake
    waiting = intake.spool.waiting()
    refusal = intake.refusal()
    lags = waiting.oldest_seconds > LARGEST_LAG_SECONDS
    body: dict[str, object] = {
        "ready": not refusal and not lags,
        "waiting_rows": waiting.rows,
        "oldest_s": int(waiting.oldest_seconds),
    }
    reason = refusal or f"the oldest events wait for {int(waiting.oldest_seconds):,} seconds"
    return Response(body, status_code=200) if body["ready"] else Response(body | {"reason": reason}, status_code=503)


@get("/metrics", opt=IS_OPEN)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Counters and gauges of the intake as OpenMetrics."""
    return Response(metrics_text(request.app.state.intake), media_type=OPEN_METRICS)
