"""Vetoes: reasons not to do now what opsbot would do by itself, each asked before it is done.

A veto waits, it does not give up: it is asked again, and what it kept back goes on when it is lifted. To a person who
asks for the same in so many words it is advice: they are told, and obeyed.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

Veto = Callable[[str], Awaitable[str | None]]
"""Asked with a service's name. Why not now, in words for the card; None: go. Times in it are Discord's `<t:…>`."""


@dataclass(slots=True)
class Vetoes:
    """Who is asked before what. The lists are filled by the wiring; those who ask share this one object.

    restarts: recovery's restarts of a service in trouble. ladder_ends: its rollback and its call for a human. spent:
    recovery's restarts again; these do not only wait, a human is called. starts: opsbot's own supervisor, before it
    starts a service that died. deploys: deploys that nobody asked for, before
    they begin. swings: the moment a running release is replaced, whoever asked for it.
    """

    restarts: list[Veto] = field(default_factory=list)
    ladder_ends: list[Veto] = field(default_factory=list)
    spent: list[Veto] = field(default_factory=list)
    starts: list[Veto] = field(default_factory=list)
    deploys: list[Veto] = field(default_factory=list)
    swings: list[Veto] = field(default_factory=list)

    async def advice(self, service: str) -> str | None:
        """What a person who restarts the service by hand should know."""
        return await first([*self.spent, *self.restarts, *self.swings], service)


async def first(vetoes: Sequence[Veto], service: str) -> str | None:
    """The words of the first that says no; None where none does."""
    for veto in vetoes:
        try:
            said = await veto(service)
        except Exception:
            # The edge: a veto that fails must keep nothing from being recovered.
            log.exception("a veto about %s failed; it is passed over", service)
            continue
        if said:
            return said
    return None
