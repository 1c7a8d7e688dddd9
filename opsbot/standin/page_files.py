"""Serve the page's files and uploads, guarded against requests from other sites.

Only a browser on this machine may connect: other Hosts and Origins are refused (DNS rebinding, CSRF).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from opsbot.standin.files import Files
from opsbot.standin.plumbing import answer

PAGE = Path(__file__).with_name("page")
NAME_LENGTH = 100
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SHOWN_INLINE = ("image/png", "image/jpeg", "image/gif", "image/webp")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
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
        router.add_get("/", self.get_file)
        router.add_get("/static/{path:.*}", self.get_file)
        router.add_get("/attachments/{channel}/{file}/{name}", self.get_attachment)

    async def get_file(self, request: web.Request) -> web.StreamResponse:
        """A file of the page, `index.html` by default."""
        name = request.match_info.get("path", "index.html")
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or "/" in parts or not name.isprintable() or len(name) > NAME_LENGTH:
            return answer({"message": "404: Not Found"}, 404)
        return web.FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    async def get_attachment(self, request: web.Request) -> web.Response:
        """Serve an upload, sandboxed: images and text inline, others as downloads."""
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
