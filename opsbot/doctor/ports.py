"""The ports of the checks: whether anyone listens there now."""

import asyncio
from urllib.parse import urlsplit

from opsbot.config import Check, CheckKind, Service
from opsbot.doctor.findings import Area, Finding, skip, warn, well
from opsbot.probes.listening import PortTable, local

SECONDS = 3.0


async def look(service: Service, *, deployed: bool) -> list[Finding]:
    """Each address once. deployed: whether the service has a live release, so that an answer is due."""
    addresses: dict[tuple[str, int], str] = {}
    for check in service.checks:
        place = address(check)
        if place is not None:
            addresses.setdefault(place, check.name)
    return [await _port(service, host, port, name, deployed=deployed) for (host, port), name in addresses.items()]


def address(check: Check) -> tuple[str, int] | None:
    """Host and port that a check asks; None for one that asks none."""
    if check.kind is CheckKind.TCP:
        return check.host, check.port
    if check.kind is not CheckKind.HTTP:
        return None
    url = urlsplit(check.url)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


async def _port(service: Service, host: str, port: int, check: str, *, deployed: bool) -> Finding:
    name = f"port {port}"
    where = f"{host}:{port} (check {check})"
    if await _listens(host, port):
        return well(Area.PORTS, name, f"{where} is listened on", service.name)
    if not deployed:
        return skip(Area.PORTS, name, f"nobody listens on {where}; nothing is deployed yet", service.name)
    mend = f"opsbot status {service.name}; if it runs, mend the port in the check: ss -ltn shows what is listened on"
    return warn(Area.PORTS, name, f"nobody listens on {where}", mend, service.name)


async def _listens(host: str, port: int) -> bool:
    wanted = local(host)
    if wanted:
        try:
            table = PortTable()
        except OSError:
            pass  # netlink is not allowed here: a connection tells as well
        else:
            try:
                return any(one.takes(each) for one in table.listeners(port) for each in wanted)
            finally:
                table.close()
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
