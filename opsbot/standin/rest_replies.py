"""Discord's REST routes for commands and for the answers to interactions."""

from dataclasses import dataclass

from aiohttp import web

from opsbot.standin.commands import Commands
from opsbot.standin.errors import refuse
from opsbot.standin.interactions import Interactions
from opsbot.standin.plumbing import PREFIX, answer, nothing, number, read_json, read_message, read_object
from opsbot.standin.state import APPLICATION_ID, GUILD_ID, GatewayEvent, StandinState


@dataclass(frozen=True, slots=True)
class ReplyRoutes:
    """The handlers."""

    state: StandinState
    interactions: Interactions

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Register every route."""
        webhook = "/webhooks/{application}/{token}"
        commands = ("/applications/{application}/commands", "/applications/{application}/guilds/{guild}/commands")
        routes = [
            ("POST", "/interactions/{interaction}/{token}/callback", self.post_callback),
            ("POST", webhook, self.post_follow_up),
            ("GET", f"{webhook}/messages/{{which}}", self.get_reply),
            ("PATCH", f"{webhook}/messages/{{which}}", self.patch_reply),
            ("DELETE", f"{webhook}/messages/{{which}}", self.delete_reply),
        ]
        for scope in commands:
            routes += [
                ("GET", scope, self.get_commands),
                ("PUT", scope, self.put_commands),
                ("POST", scope, self.post_command),
                ("GET", f"{scope}/{{command}}", self.get_command),
                ("PATCH", f"{scope}/{{command}}", self.patch_command),
                ("DELETE", f"{scope}/{{command}}", self.delete_command),
            ]
        for method, path, handler in routes:
            router.add_route(method, PREFIX + path, handler)

    # commands

    def _scope(self, request: web.Request) -> Commands:
        if number(request, "application") != APPLICATION_ID:
            raise refuse("unknown_application")
        if "guild" not in request.match_info:
            return self.state.global_commands
        if number(request, "guild") != GUILD_ID:
            raise refuse("unknown_guild")
        return self.state.guild_commands

    def _commands_changed(self) -> None:
        self.state.emit(GatewayEvent("COMMANDS_UPDATE", {}, internal=True))

    async def get_commands(self, request: web.Request) -> web.Response:
        """The registered commands of a scope."""
        return answer(self._scope(request).all())

    async def put_commands(self, request: web.Request) -> web.Response:
        """Replace all commands of a scope."""
        payload = await read_json(request)
        commands = self._scope(request).overwrite(payload, self.state.ids(), self.state.clock())
        self._commands_changed()
        return answer(commands)

    async def post_command(self, request: web.Request) -> web.Response:
        """Register one command."""
        payload = await read_object(request)
        command, new = self._scope(request).upsert(payload, self.state.ids(), self.state.clock())
        self._commands_changed()
        return answer(command, 201 if new else 200)

    async def get_command(self, request: web.Request) -> web.Response:
        """One command."""
        return answer(self._scope(request).get(number(request, "command")))

    async def patch_command(self, request: web.Request) -> web.Response:
        """Change one command."""
        changes = await read_object(request)
        command = self._scope(request).edit(number(request, "command"), changes)
        self._commands_changed()
        return answer(command)

    async def delete_command(self, request: web.Request) -> web.Response:
        """Remove one command."""
        self._scope(request).delete(number(request, "command"))
        self._commands_changed()
        return nothing()

    # interactions

    async def post_callback(self, request: web.Request) -> web.Response:
        """The initial response to an interaction."""
        body, uploads = await read_message(request)
        token = request.match_info["token"]
        found = self.interactions.respond(number(request, "interaction"), token, body, uploads)
        return answer(found) if request.query.get("with_response", "").lower() in ("1", "true") else nothing()

    def _token(self, request: web.Request) -> tuple[int, str]:
        return number(request, "application"), request.match_info["token"]

    async def post_follow_up(self, request: web.Request) -> web.Response:
        """A follow-up."""
        payload, uploads = await read_message(request)
        return answer(self.interactions.follow_up(*self._token(request), payload, uploads))

    async def get_reply(self, request: web.Request) -> web.Response:
        """The original response, or a follow-up."""
        return answer(self.interactions.get(*self._token(request), request.match_info["which"]))

    async def patch_reply(self, request: web.Request) -> web.Response:
        """Edit the original response, or a follow-up."""
        payload, uploads = await read_message(request)
        which = request.match_info["which"]
        return answer(self.interactions.edit(*self._token(request), which, payload, uploads))

    async def delete_reply(self, request: web.Request) -> web.Response:
        """Delete the original response, or a follow-up."""
        self.interactions.delete(*self._token(request), request.match_info["which"])
        return nothing()
