"""Check which unit operations polkit grants to opsbot, without changing anything.

An unprivileged caller cannot ask polkit about a single unit (polkit accepts no details from it). opsbot's user
therefore calls ResetFailed on a unit that has not failed: it is covered by the same rule and has no effect. root can
ask
polkit about any process and verb (org.freedesktop.PolicyKit1.Authority, CheckAuthorization).
"""

import asyncio
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
JOB_VERBS = ("start", "stop", "reset-failed")
SECONDS = timedelta(seconds=30)
"""A hanging polkit answers after 25 s."""
_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Right:
    """Permissions for one unit.

    refused: the verbs that polkit denies. problem: why the check failed, "" if it ran.
    """

    unit: str
    asked: tuple[str, ...]
    refused: tuple[str, ...] = ()
    problem: str = ""


async def own(bus: SystemdBus, units: Sequence[tuple[str, str]]) -> list[Right]:
    """Check the permissions of this process's user. units: name and ActiveState."""
    return [await _own(bus, unit, active) for unit, active in units]


async def _own(bus: SystemdBus, unit: str, active: str) -> Right:
    verb = ("reset-failed",)
    if active == _FAILED:
        return Right(unit, verb, problem="its state is failed and a check would clear that; start it, then try again")
    try:
        # Call the unit object, not the manager: it loads a unit that systemd has unloaded since its last run, while
        # the manager would answer "not loaded" before asking polkit.
        await bus.call("ResetFailed", interface=UNIT, path=unit_path(unit), within=SECONDS)
    except BusError as error:
        return Right(unit, verb, refused=verb) if error.denied else Right(unit, verb, problem=describe(error))
    return Right(unit, verb)


async def of_user(bus: SystemdBus, uid: int, gid: int, units: Sequence[tuple[str, Sequence[str]]]) -> list[Right]:
    """Check another user's permissions as root.

    units: name and verbs. polkit is asked about a sleeping process.
    """
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
