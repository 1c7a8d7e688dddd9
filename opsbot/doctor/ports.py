"""Check whether something listens on the ports of the checks."""

import asyncio
from urllib.parse import urlsplit

from opsbot.config import Check, CheckKind, Service
from opsbot.doctor.findings import Finding, Subject
from opsbot.probes.listening import PortTable, local

SECONDS = 3.0


async def examine(service: Service, about: Subject) -> list[Finding]:
    """Check each address once."""
    # Without a live release nothing has to listen.
    deployed = service.root is None or await asyncio.to_thread(service.root.exists)
    addresses: dict[tuple[str, int], str] = {}
    for check in service.checks:
        place = address(check)
        if place is not None:
            addresses.setdefault(place, check.name)
    return [await _port(about, host, port, name, deployed=deployed) for (host, port), name in addresses.items()]


def address(check: Check) -> tuple[str, int] | None:
    """Return the host and port that a check connects to; None if it connects to none."""
    if check.kind is CheckKind.TCP:
        return check.host, check.port
    if check.kind is not CheckKind.HTTP:
        return None
    url = urlsplit(check.url)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


async def _port(about: Subject, host: str, port: int, check: str, *, deployed: bool) -> Finding:
    name = f"port {port}"
    where = f"{host}:{port} (check {check})"
    if await _listens(host, port):
        return about.passed(name, f"{where} is in use")
    if not deployed:
        return about.skip(name, f"nothing listens on {where}; no release is deployed yet")
    fix = f"opsbot status {about.service}; if it runs, correct the port in the check: ss -ltn lists listening ports"
    return about.warn(name, f"nothing listens on {where}", fix)


async def _listens(host: str, port: int) -> bool:
    wanted = local(host)
    if wanted:
        try:
            table = PortTable()
        except OSError:
            pass  # netlink is not permitted here; try a connection instead
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
