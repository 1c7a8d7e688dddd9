"""opsbot's Discord side in a process of its own, to be killed.

python -m tests.delivery.child FOLDER URL TOKEN [board]
"""

import asyncio
import logging
import sys
from dataclasses import replace
from pathlib import Path

from cogs.delivery.rate_budget import RateLimit, WriteLimits
from opsbot.bot.run import run_bot
from tests.cogs.world import BRISK, QUICK, config_for, open_parts

LOOK = 0.05
"""Seconds: what another process writes into the store is found by looking."""
UNLIMITED = WriteLimits(*(RateLimit(1000, 1.0),) * 4)


async def main(folder: Path, api_url: str, token: str, *, board: bool) -> None:
    logging.disable(logging.CRITICAL)
    config = config_for(folder, api_url)
    config = replace(config, discord=replace(config.discord, board=board))
    async with open_parts(config) as parts:
        await run_bot(parts.engine, config, token, pace=QUICK, channel_pace=replace(BRISK, look=LOOK, limits=UNLIMITED))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], board="board" in sys.argv[4:]))
