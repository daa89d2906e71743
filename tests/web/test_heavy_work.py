"""Heavy questions take turns, and hold up no light ones."""

import asyncio
import json

import httpx

from billing.home import Home
from billing.ledger.database import open_database
from billing.web.app import application
from billing.web.installation import Installation
from tests.commands import Commands
from tests.documents_home import ok
from tests.sample_home import APP
from tests.web.event_loops import outcome

LIGHT = "/v1/accounts/academy/packages"
HEAVY = (
    f"/v1/apps/{APP}/usage?month=2026-03&by=user",
    f"/v1/apps/{APP}/usage?month=2026-03&by=room",
    "/v1/accounts/academy/invoices?month=2026-03&format=xlsx",
)


def test_a_heavy_question_waits_for_its_turn_and_a_light_one_does_not(billed: Commands) -> None:
    token = json.loads(ok(billed, "token create --scope read --format json"))[0]["token"]
    home = Home.at(billed.home)
    installation = Installation.of(home, open_database(home.database))
    assert installation.heavy_work.total_tokens == 2

    async def asked() -> list[int]:
        transport = httpx.ASGITransport(app=application(installation))  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://billing", headers=headers) as client:
            known = await client.get(HEAVY[0])
            installation.heavy_work.total_tokens = 1
            async with installation.heavy_work:
                waiting = [asyncio.create_task(client.get(path)) for path in HEAVY]
                light = [await client.get(LIGHT) for _ in range(10)]
                again = await client.get(HEAVY[0], headers={"If-None-Match": known.headers["etag"]})
                assert not any(task.done() for task in waiting)
            return [answer.status_code for answer in (*light, again, *await asyncio.gather(*waiting))]

    assert outcome(asked()) == [200] * 10 + [304] + [200] * len(HEAVY)
