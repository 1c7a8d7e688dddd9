"""Who is at the other end of the control socket: the kernel says so (SO_PEERCRED, SO_PEERGROUPS of unix(7))."""

import asyncio
import grp
import os
import pwd
import re
import socket
import struct
from typing import Any

from opsbot.core.access import Actor, Origin

_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59  # linux/socket.h; the socket module has no name for it
_GROUPS_BYTES = 1024  # the most that socket.getsockopt reads
_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?", re.ASCII)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"#{gid}"


def _groups(peer: Any, uid: int, gid: int) -> set[int]:
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        # An old kernel, or more than 256 groups: what the user database says then.
        name = _user(uid)
        return {gid} if name.startswith("#") else set(os.getgrouplist(name, gid))
    return {gid, *struct.unpack(f"{len(raw) // 4}I", raw)}


def _actor(peer: Any, sudo_user: str) -> Actor:
    _, uid, gid = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    name = _user(uid)
    shown = name
    if uid == 0 and _USER_NAME.fullmatch(sudo_user):
        shown = f"{name} (sudo by {sudo_user})"  # root may claim it: it could write it into the database as well
    roles = frozenset(f"unix:@{_group(one)}" for one in _groups(peer, uid, gid))
    return Actor(Origin.CLI, f"unix:{name}", shown, roles, owner=uid in {0, os.geteuid()})


async def caller(peer: Any, sudo_user: str = "") -> Actor:
    """The one at the other end of this connected unix socket: `unix:NAME`, with `unix:@GROUP` for each group it holds.

    Names come from the user database, which may be on a network: looked up in a thread.
    """
    return await asyncio.to_thread(_actor, peer, sudo_user)
