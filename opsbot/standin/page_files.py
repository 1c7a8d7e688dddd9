"""Serve the page's files and uploads, guarded against requests from other sites.

Only a browser on this machine may connect: other Hosts and Origins are refused (DNS rebinding, CSRF).
"""

import asyncio
import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from opsbot.standin.files import Files
from opsbot.standin.plumbing import answer

PAGE = Path(__file__).with_name("page")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SHOWN_INLINE = ("image/png", "image/jpeg", "image/gif", "image/webp")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".json": "application/json",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign Host and Origin headers."""
    if request.path.startswith("/api/") or request.path.rstrip("/") == "/gateway":
        return await handler(request)
    try:
        host = urlsplit(f"//{request.host}")
        origin = urlsplit(request.headers.get(hdrs.ORIGIN) or f"http://{request.host}")
        same = origin.hostname in _LOOPBACK and host.hostname in _LOOPBACK and origin.port == host.port
    except ValueError:
        same = False
    if not same or request.headers.get("Sec-Fetch-Site") == "cross-site":
        return answer({"message": "This page is for this machine's own browser only."}, 403)
    response = await handler(request)
    if not response.prepared:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


@dataclass(frozen=True, slots=True)
class PageFiles:
    """Serves the folder `page/` and the uploaded files."""

    files: Files

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_get("/", self.get_index)
        router.add_get("/static/{path:.*}", self.get_static)
        router.add_get("/attachments/{channel}/{file}/{name}", self.get_attachment)

    async def get_index(self, _: web.Request) -> web.StreamResponse:
        """The page."""
        return await self._file("index.html")

    async def get_static(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        return await self._file(request.match_info["path"])

    async def _file(self, name: str) -> web.StreamResponse:
        def read() -> bytes | None:
            path = (PAGE / name).resolve()
            return path.read_bytes() if path.is_relative_to(PAGE.resolve()) and path.is_file() else None

        try:
            data = await asyncio.to_thread(read)
        except (OSError, ValueError):
            data = None
        if data is None:
            return answer({"message": "404: Not Found"}, 404)
        kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=data, content_type=kind, charset=charset, headers={"Cache-Control": "no-cache"})

    async def get_attachment(self, request: web.Request) -> web.Response:
        """Serve an upload: images and text inline, anything else as a download, all sandboxed."""
        key = request.match_info["file"]
        stored = self.files.stored.get(int(key)) if key.isdecimal() else None
        if stored is None:
            return answer({"message": "404: Not Found"}, 404)
        kind = stored.content_type
        if kind not in _SHOWN_INLINE:
            kind = "text/plain" if kind.startswith("text/") and kind != "text/html" else "application/octet-stream"
        charset = "utf-8" if kind == "text/plain" else None
        headers = {"Cache-Control": "private, max-age=3600", "Content-Security-Policy": "sandbox"}
        if kind == "application/octet-stream":
            headers["Content-Disposition"] = "attachment"
        return web.Response(body=stored.data, content_type=kind, charset=charset, headers=headers)
