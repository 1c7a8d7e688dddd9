"""The door: who may do what, and the audit log of who asked."""

from collections.abc import Callable
from datetime import datetime

from opsbot.config import Config
from opsbot.core.access import Action, Actor
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.store import Store, audit


class Authorization:
    """Lets in who has the rank, and writes down what was asked and what came of it."""

    def __init__(self, config: Config, store: Store, clock: Callable[[], datetime]) -> None:
        """Take the ranks and the services' names from the configuration."""
        self._config = config
        self._store = store
        self._clock = clock

    def allows(self, actor: Actor, action: Action) -> bool:
        """Whether the actor has the rank; nothing is written down."""
        return self._config.roles.allow(actor, action)

    def nameable(self, actor: Actor, action: Action) -> list[str]:
        """The services an actor may name for this action; none for who lacks the rank (for autocompletion)."""
        return list(self._config.services) if self.allows(actor, action) else []

    async def admit(self, actor: Actor, action: Action, service: str | None = None, detail: str = "") -> Refused | None:
        """RefusalReason this may not be asked, or None. A refusal is written into the audit log."""
        if not self.allows(actor, action):
            words = f"You may not use {action}. Ask an admin of opsbot for a role that may."
            return await self.refuse(actor, action, service, detail, RefusalReason.NO_RANK, words)
        if service is not None and service not in self._config.services:
            return await self.refuse(
                actor, action, service[:64], detail, RefusalReason.UNKNOWN_SERVICE, self._unknown(service)
            )
        return None

    def _unknown(self, service: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - seldom asked, and it takes room

        near = get_close_matches(service, self._config.services, 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(self._config.services)}."
        return f"There is no service {service[:64]!r}. {hint}"

    async def refuse(
        self, actor: Actor, action: Action, service: str | None, detail: str, why: RefusalReason, text: str
    ) -> Refused:
        """Write down that it was refused; the answer."""
        refusal = Refused(why, text)
        await self.note(actor, action, service, detail, refusal)
        return refusal

    async def note(self, actor: Actor, action: Action, service: str | None, detail: str, result: Refused | str) -> None:
        """Write down what was asked and what came of it."""
        refused = result if isinstance(result, Refused) else None
        await self._store.write(
            audit.record,
            actor,
            action,
            service or "",
            self._clock(),
            allowed=refused is None or refused.why is not RefusalReason.NO_RANK,
            detail=detail[:500],
            result=str(result) if refused is None else f"refused: {refused.text}",
        )
