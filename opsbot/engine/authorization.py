"""Who may do what, and the audit log of who asked."""

from collections.abc import Callable
from datetime import datetime

from opsbot.config import Config
from opsbot.core.access import Action, Actor, Rank
from opsbot.core.deploy_codes import RefusalCode
from opsbot.core.deployment import RefusalReason, Refused
from opsbot.core.message import Message, message
from opsbot.core.model import Effect
from opsbot.messages import render
from opsbot.store import Store, audit


class Authorization:
    """Lets in who has the rank, and writes down what was asked and what came of it."""

    def __init__(self, config: Config, store: Store, clock: Callable[[], datetime]) -> None:
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
        """RefusalReason this may not be requested, or None. A refusal is written to the audit log."""
        if not self.allows(actor, action):
            held, needed = self._config.roles.of(actor), action.least_rank.name.lower()
            name = None if held is Rank.NONE else held.name.lower()
            words = message(RefusalCode.NO_RANK, action=str(action), needed=needed, held=name)
            return await self.refuse(actor, action, service, detail, RefusalReason.NO_RANK, words)
        if service is not None and service not in self._config.services:
            return await self.refuse(
                actor, action, service[:64], detail, RefusalReason.UNKNOWN_SERVICE, self._unknown(service)
            )
        return None

    def _unknown(self, service: str) -> Message:
        from difflib import get_close_matches  # noqa: PLC0415 - seldom asked, and it takes room

        near = get_close_matches(service, self._config.services, 1)
        known = tuple(self._config.services)
        return message(RefusalCode.UNKNOWN_SERVICE, service=service[:64], near=near[0] if near else None, known=known)

    async def refuse(
        self, actor: Actor, action: Action, service: str | None, detail: str, why: RefusalReason, said: Message
    ) -> Refused:
        """Write down that it was refused; the answer."""
        refusal = Refused(why, said)
        await self.note(actor, action, service, detail, refusal)
        return refusal

    async def reject(self, actor: Actor, action: Action, service: str, wrong: Refused) -> Refused:
        """Refuse invalid input; a missing rank takes precedence. Both are written to the audit log."""
        refused = await self.admit(actor, action, service)
        if refused is None:
            await self.note(actor, action, service, "", wrong)
        return refused or wrong

    async def note(
        self,
        actor: Actor,
        action: Action,
        service: str | None,
        detail: str,
        result: Refused | str,
        effect: Effect = Effect.DONE,
    ) -> None:
        """Write down what was requested and what came of it."""
        refused = result if isinstance(result, Refused) else None
        await self._store.write(
            audit.record,
            actor,
            action,
            service or "",
            self._clock(),
            allowed=refused is None or refused.why is not RefusalReason.NO_RANK,
            detail=detail[:500],
            result=str(result) if refused is None else f"refused: {render(refused.message)}",
            effect=effect if refused is None else Effect.REFUSED,
        )
