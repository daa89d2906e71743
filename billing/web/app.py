"""The application: all routes over one installation."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from billing import __version__
from billing.web.access import IS_OPEN, Access
from billing.web.access_log import recorded
from billing.web.account_routes import account_router
from billing.web.app_routes import app_router
from billing.web.callback_routes import take_callback
from billing.web.console.routes import console_router
from billing.web.content_encodings import LARGEST_BODY
from billing.web.document_routes import document_router
from billing.web.estimate_routes import estimate_router
from billing.web.event_routes import one_batch, take_events
from billing.web.explain_routes import explain_router, timeline_router
from billing.web.health_routes import healthz, metrics, readyz
from billing.web.inquiries import give_inquiry
from billing.web.installation import Installation
from billing.web.intake import Intake
from billing.web.openapi_document import DescribedRoutes
from billing.web.operator_routes import operator_router
from billing.web.problems import PROBLEMS
from billing.web.tencent.tencent_routes import tencent_router

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def application(
    installation: Installation, *, intake: Intake | None = None, lifespan: Sequence[Lifespan] = ()
) -> Litestar:
    """The ASGI application of an installation. Without an intake it has all routes, and takes no events."""

    def give_installation() -> Installation:
        return installation

    return Litestar(
        route_handlers=[
            *(healthz, readyz, metrics, take_events, one_batch, take_callback),
            *(account_router, document_router, app_router, estimate_router, operator_router),
            *(explain_router, timeline_router, tencent_router, console_router),
        ],
        middleware=[recorded, Access],
        exception_handlers=PROBLEMS,
        dependencies={
            "installation": Provide(give_installation, sync_to_thread=False),
            "inquiry": Provide(give_inquiry, sync_to_thread=False),
        },
        state=State({"installation": installation, "intake": intake}),
        lifespan=[*([intake.running] if intake else []), *lifespan],
        openapi_config=OpenAPIConfig(
            title="Billing",
            version=__version__,
            description="Usage, charges and documents of one installation. Answers are what its commands print.",
            render_plugins=[DescribedRoutes()],
            openapi_router=Router("/openapi.json", route_handlers=[], opt=IS_OPEN, include_in_schema=False),
        ),
        request_max_body_size=LARGEST_BODY,
        logging_config=None,
    )
