"""What opsbot may do to units, asked of systemd or of polkit itself, so that nothing is changed by the question.

polkit tells a caller without privileges nothing about one unit (it takes no details from it), so opsbot's own user asks
systemd to forget the failures of a unit that has not failed: a call under the same rule that changes nothing. root may
ask polkit about any process, each verb by its name (org.freedesktop.PolicyKit1.Authority, CheckAuthorization).
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from dbus_fast import Variant

from opsbot.host.proc_stat import STARTED, stat_of
from opsbot.messages import describe
from opsbot.services.systemd.bus import BusError, SystemdBus
from opsbot.services.systemd.names import UNIT, unit_path

ACTION = "org.freedesktop.systemd1.manage-units"
SERVICE_VERBS = ("start", "stop", "restart", "reset-failed")
ERRAND_VERBS = ("start", "stop", "reset-failed")
SECONDS = timedelta(seconds=30)
"""A polkit that hangs answers after 25 s."""
_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Right:
    """What was found of one unit. refused: the verbs that are. problem: why it could not be asked, else ""."""

    unit: str
    asked: tuple[str, ...]
    refused: tuple[str, ...] = ()
    problem: str = ""


async def own(bus: SystemdBus, units: Sequence[tuple[str, str]]) -> list[Right]:
    """What this process's user may. units: name and ActiveState."""
    return [await _own(bus, unit, active) for unit, active in units]


async def _own(bus: SystemdBus, unit: str, active: str) -> Right:
    verb = ("reset-failed",)
    if active == _FAILED:
        return Right(unit, verb, problem="it stands failed, and to ask would clear that; start it, and ask again")
    try:
        # Asked of the unit, not of the manager: that loads one which systemd has unloaded since it last ran, and the
        # manager would say "not loaded" before it asked polkit.
        await bus.call("ResetFailed", interface=UNIT, path=unit_path(unit), within=SECONDS)
    except BusError as error:
        return Right(unit, verb, refused=verb) if error.denied else Right(unit, verb, problem=describe(error))
    return Right(unit, verb)


async def of_user(bus: SystemdBus, uid: int, gid: int, units: Sequence[tuple[str, Sequence[str]]]) -> list[Right]:
    """What another user may, asked by root about a process of that user's that waits. units: name and verbs."""
    subject = await asyncio.create_subprocess_exec("sleep", "60", user=uid, group=gid, extra_groups=[], cwd="/", env={})
    try:
        return [await _of(bus, subject.pid, uid, unit, verbs) for unit, verbs in units]
    finally:
        with suppress(ProcessLookupError):
            subject.kill()
        await subject.wait()


async def _of(bus: SystemdBus, pid: int, uid: int, unit: str, verbs: Sequence[str]) -> Right:
    refused = []
    try:
        for verb in verbs:
            process = {"pid": Variant("u", pid), "start-time": Variant("t", _started(pid)), "uid": Variant("i", uid)}
            answer = await bus.call(
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                [["unix-process", process], ACTION, {"unit": unit, "verb": verb}, 0, ""],
                interface="org.freedesktop.PolicyKit1.Authority",
                path="/org/freedesktop/PolicyKit1/Authority",
                destination="org.freedesktop.PolicyKit1",
                within=SECONDS,
            )
            if not answer[0][0]:
                refused.append(verb)
    except (BusError, OSError) as error:
        return Right(unit, tuple(verbs), problem=f"polkit: {describe(error)}")
    return Right(unit, tuple(verbs), refused=tuple(refused))


def _started(pid: int) -> int:
    """In clock ticks since the boot."""
    return int(stat_of(pid)[STARTED])


def is_root() -> bool:
    """Whether nothing is refused to this process anyway."""
    return os.geteuid() == 0
