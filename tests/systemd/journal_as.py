"""Reads a unit's lines from the journal and prints them as JSON; a process of its own, so that a test can be a user."""

import asyncio
import json
import sys

from opsbot.config import Scope
from opsbot.services.journal import Journal
from opsbot.services.port import LogQuery, ManagerError


async def main(scope: str, unit: str) -> None:
    try:
        lines = await Journal(Scope(scope)).lines([unit], LogQuery(lines=100))
    except ManagerError as error:
        answer: dict[str, object] = {"error": error.message.code}
    else:
        answer = {"lines": [[line.text, line.manager, line.run] for line in lines]}
    sys.stdout.write(json.dumps(answer))


asyncio.run(main(*sys.argv[1:]))
