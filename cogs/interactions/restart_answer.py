"""The answer to a person who restarted a service: that it runs, and then whether it passes its checks."""

from cogs.cards.rendered import RenderedMessage, say
from cogs.cards.style import to_markdown
from cogs.cards.text import escape
from cogs.interactions.answer import Interim
from opsbot.core.access import Actor
from opsbot.engine import Engine
from opsbot.services.port import ServiceState


def restarted(engine: Engine, actor: Actor, service: str, state: ServiceState, what: str, note: str) -> Interim:
    """What is known now, and how it turns out. what: "was restarted", with by whom; note: follows the sentence."""
    words = f"{escape(service)} {what}"

    async def outcome() -> RenderedMessage:
        found = await engine.services.verify_restart(actor, service, state)
        seen = to_markdown(found.seen)
        if not found.ok:
            return say(f"🔴 {words}, but verification failed: {seen}.{note}")
        return say(f"🟢 {words}{_pid(found.state)}: {seen}.{note}")

    return Interim(say(f"🔁 {words}{_pid(state)}. Waiting for its checks.{note}"), outcome)


def _pid(state: ServiceState) -> str:
    return f" (process {state.pid})" if state.pid else ""
