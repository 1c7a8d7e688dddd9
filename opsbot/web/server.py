"""The HTTP endpoint: routes, opening and closing."""

import os
from functools import partial

from aiohttp import web

from opsbot.config import Http
from opsbot.web.facts import WebSources
from opsbot.web.health import healthz, readyz
from opsbot.web.hooks import BODY_MOST, Hooks
from opsbot.web.metrics import metrics


class Web:
    """The open endpoint. `address` is None if the configuration disables it."""

    def __init__(self, runner: web.AppRunner | None) -> None:
        self._runner = runner

    @property
    def address(self) -> tuple[str, int] | None:
        if self._runner is None or not self._runner.addresses:
            return None
        host, port = self._runner.addresses[0][:2]
        return host, port

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


def build(sources: WebSources, hooks: Hooks) -> web.Application:
    app = web.Application(client_max_size=BODY_MOST)
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        app.router.add_get(path, partial(handler, sources))
    app.router.add_post("/hooks/{forge}", hooks.push)
    return app


async def start_web(http: Http, sources: WebSources, hooks: Hooks) -> Web:
    """Listen on the address in `[http]`; port 0 selects a free one.

    Raises:
        OSError: the address is not available; with a message for people.
    """
    if http.host is None:
        return Web(None)
    runner = web.AppRunner(build(sources, hooks), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, http.host, http.port).start()
    except OSError as error:
        await runner.cleanup()
        why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        fix = 'choose another address there, or "off"'
        raise OSError(f"http.listen: cannot listen on {http.host}:{http.port}: {why}; {fix}") from error
    return Web(runner)
