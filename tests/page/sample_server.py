"""A small server that speaks the page's protocol with the sample's messages, and remembers what the page sent.

It is for tests of the page alone: what it answers is scripted by the command or custom id, not by a bot.
`python -m tests.page.sample_server [PORT]` serves it for a look by eye.
"""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, web

from tests.page.sample import ADA, BOT, FILES, MODAL, OPS, PEOPLE, Sample

PAGE = Path(__file__).parents[2] / "opsbot" / "standin" / "page"
SERVICES = ("api", "voice-meeting-bot", "worker")


class SampleServer:
    """`url` is known after start(); `sent` holds every POST as (path, body). `may_answer`: unset, answers wait."""

    def __init__(self, port: int = 0, answer_after: float = 0.15, deadline: float = 0.6) -> None:
        self.sample = Sample()
        self.port, self.answer_after, self.deadline = port, answer_after, deadline
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.sockets: dict[web.WebSocketResponse, str] = {}
        self.accepting = True
        self.delays: dict[str, float] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._interactions = 700_000
        self._runner: web.AppRunner | None = None

    async def start(self) -> "SampleServer":
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/static/{path:.+}", self._static),
                web.get("/attachments/{name}", self._attachment),
                web.get("/client/ws", self._socket),
                web.post("/client/interactions", self._interaction),
                web.post("/client/{path:.+}", self._post),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.drop()
        if self._runner:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def drop(self) -> None:
        """Closes every page's socket, as a restart of the server would."""
        for socket in list(self.sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def emit(self, name: str, data: Any, only: str | None = None) -> None:
        """Sends a frame to every page, or to the pages of one member."""
        for socket, member in list(self.sockets.items()):
            if only in {None, member}:
                await socket.send_json({"t": name, "d": data})

    async def say(self, author: dict[str, Any], content: str = "", **more: Any) -> dict[str, Any]:
        """Posts a message now, as someone."""
        self.sample.now = datetime.now(UTC)
        message = self.sample.post(author, content, **more)
        await self.emit("MESSAGE_CREATE", message)
        return message

    async def edit(self, message: dict[str, Any], **changes: Any) -> None:
        message.update(changes, edited_timestamp=datetime.now(UTC).isoformat())
        await self.emit("MESSAGE_UPDATE", message)

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        path = PAGE / request.match_info["path"]
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": "no-store"})

    async def _attachment(self, request: web.Request) -> web.StreamResponse:
        kind, body = FILES[request.match_info["name"]]
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self.accepting:
            raise web.HTTPServiceUnavailable
        member = request.query.get("member", ADA)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = member
        try:
            await socket.send_json({"t": "SNAPSHOT", "d": self.sample.snapshot(member)})
            async for _ in socket:
                pass
        finally:
            del self.sockets[socket]
        return socket

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        path = request.match_info["path"]
        self.sent.append((path, body))
        if path == "messages":
            await self.say(PEOPLE[body["member_id"]], body["content"], channel=body["channel_id"])
        elif path.endswith("/roles"):
            member = self.sample.members[path.split("/")[1]]
            member["roles"] = body["roles"]
            await self.emit("MEMBER_UPDATE", member)
        elif path.startswith("panel/"):
            await self._answers()
            note = {"text": f"Did {path.removeprefix('panel/')}", "level": "info", "at": datetime.now(UTC).isoformat()}
            await self.emit("PANEL_NOTE", note)
            return web.json_response({"ok": True, "text": note["text"]})
        return web.json_response({})

    async def _interaction(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.sent.append(("interactions", body))
        self._interactions += 1
        task = asyncio.create_task(self._answer(body, str(self._interactions)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response(status=204)

    async def _answer(self, body: dict[str, Any], interaction: str) -> None:
        member, nonce, data = body["member_id"], body["nonce"], body["data"]
        ids = {"nonce": nonce, "id": interaction}

        async def tell(name: str, more: dict[str, Any]) -> None:
            await self.emit(name, more, only=member)

        if body["type"] == 4:
            query = next(o["value"] for o in data["options"] if o.get("focused"))
            await asyncio.sleep(self.delays.get(query, 0.02))  # a slow server
            await tell(
                "AUTOCOMPLETE", {"nonce": nonce, "choices": [{"name": s, "value": s} for s in SERVICES if query in s]}
            )
            return
        if body["type"] == 5:
            await tell("INTERACTION_SUCCESS", ids)
            await tell("EPHEMERAL", self._private(f"Silenced for {data['components'][0]['components'][0]['value']}."))
            return
        key = data["name"] if body["type"] == 2 else data["custom_id"]
        await self._answers()
        actions: dict[str, Callable[[], Any]] = {
            "slow": lambda: self._miss(ids, tell),
            "fail": lambda: self._miss(ids, tell),
            "silence": lambda: tell("MODAL", {**ids, "modal": MODAL}),
            "ask": lambda: tell("MODAL", {**ids, "modal": MODAL}),
            "deploy": lambda: self._deploy(body, ids, tell),
        }
        if key in actions:
            await actions[key]()
        elif body["type"] == 3 and key in {"ok", "pick"}:
            await tell("INTERACTION_SUCCESS", ids)
            message = next(m for ms in self.sample.messages.values() for m in ms if m["id"] == body["message_id"])
            chosen = (data.get("values") or ["once"])[0]
            await self.edit(message, content=f"{PEOPLE[member]['global_name']} did it ({chosen}).")
        else:
            await tell("INTERACTION_SUCCESS", ids)
            shown = "\n".join(f"{o['name']} = {o.get('value')!r}" for o in data.get("options", []))
            source = self.sample.used(member, key, interaction) if body["type"] == 2 else {}
            await tell("EPHEMERAL", self._private(f"Private answer to **{key}**\n{shown}", **source))

    def _private(self, content: str, **more: Any) -> dict[str, Any]:
        self.sample.now = datetime.now(UTC)
        return self.sample.message(BOT, content, flags=64, **more)

    async def _answers(self) -> None:
        await asyncio.sleep(self.answer_after)  # a slow server
        await self.may_answer.wait()

    async def _miss(self, ids: dict[str, Any], tell: Callable[[str, dict[str, Any]], Any]) -> None:
        await asyncio.sleep(self.deadline)  # nobody answers
        await tell("INTERACTION_FAILURE", {**ids, "reason": "timeout"})

    async def _deploy(
        self, body: dict[str, Any], ids: dict[str, Any], tell: Callable[[str, dict[str, Any]], Any]
    ) -> None:
        await tell("INTERACTION_DEFERRED", {**ids, "ephemeral": False})
        service = body["data"]["options"][0]["value"]
        used = self.sample.used(body["member_id"], "deploy", ids["id"])
        message = await self.say(BOT, channel=OPS, flags=128, type=20, **used)
        await asyncio.sleep(self.deadline)  # nobody answers
        await self.edit(message, flags=0, content=f"Deploying **{service}**")
        await tell("INTERACTION_SUCCESS", ids)


async def _serve(port: int) -> None:
    server = await SampleServer(port).start()
    sys.stdout.write(f"{server.url}\n")
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
