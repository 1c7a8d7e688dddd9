"""`/healthz`: is this process alive. `/readyz`: can it do all its work."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web

from opsbot.web.facts import WebSources

NOT_KEPT = {"Cache-Control": "no-store"}


async def healthz(sources: WebSources, _request: web.Request) -> web.Response:
    """200 while the event loop answers and no periodic job is overdue, else 503 with those that are."""
    return _answer("ok", "stuck", sources.stuck())


async def readyz(sources: WebSources, _request: web.Request) -> web.Response:
    """200 when the store, the managers and Discord's gateway are there, else 503 with what is not.

    The states of the services are shown beside that; opsbot is ready to deal with one that is down.
    """
    return _answer("ready", "not ready", await sources.unready(), services=await sources.states())


def _answer(well: str, ill: str, reasons: Sequence[str], **more: Mapping[str, str]) -> web.Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    body = {"status": ill if reasons else well, "reasons": list(reasons), **more}
    return web.json_response(body, status=status, headers=NOT_KEPT)
