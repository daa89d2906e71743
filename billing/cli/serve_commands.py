"""The HTTP service."""

from typing import TYPE_CHECKING, Any

import click

from billing.cli.homes import open_engine, pass_home
from billing.cli.messages import say
from billing.errors import BillingError

if TYPE_CHECKING:
    from billing.home import Home


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
@click.option(
    "--proxy", "proxies", multiple=True, metavar="ADDRESS", help="A proxy whose X-Forwarded-For is believed; repeat it."
)
@click.option(
    "--requests-per-second",
    type=click.FloatRange(min=0.1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="How many requests with events one token may send.",
)
@click.option(
    "--refresh/--no-refresh", "refreshes", default=True, show_default=True, help="Also refresh, after each 5 minutes."
)
@click.option(
    "--keep-days",
    type=click.IntRange(0, 3650),
    default=0,
    show_default=True,
    metavar="N",
    help="Keep what came in for N days after its ingest, in spool/kept of the home.",
)
@pass_home
def serve(home: "Home", **settings: Any) -> None:
    """Serve this home over HTTP: events come in, reports and the console go out. It runs until SIGTERM or Ctrl-C. A
    proxy before it adds TLS.

    \b
    Example:
      billing serve
      billing --home /srv/billing serve --port 8081
    """
    try:
        from billing.web.server import Settings
        from billing.web.server import serve as serve_home
    except ModuleNotFoundError as error:
        raise BillingError(f"the service needs {error.name}: install billing[serve]") from None
    serve_home(home, open_engine(home), Settings(**settings), listening=_say_address)


def _say_address(address: str) -> None:
    say(f"listening on {address}; the console is at {address}/console", address=address)
