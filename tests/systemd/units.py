"""Units for tests: written, reloaded, and asked about with systemctl, as an admin would."""

import asyncio
from pathlib import Path


async def systemctl(*args: str, check: bool = True) -> str:
    """Run it; what it printed."""
    process = await asyncio.create_subprocess_exec(
        "systemctl", *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0 or not check, said
    return said.strip()


async def write_unit(unit: str, text: str) -> None:
    """Write a unit's file and have systemd read it."""
    await asyncio.to_thread(Path(f"/etc/systemd/system/{unit}").write_text, text)
    await systemctl("daemon-reload")


async def show(unit: str, name: str) -> str:
    """One property."""
    return await systemctl("show", "--value", "-p", name, unit)
