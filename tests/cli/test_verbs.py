"""Every verb against a daemon, as a process of its own."""

import json

from tests.cli.world import World


async def test_status_tells_how_the_services_stand(daemon, opsbot):
    ended = await opsbot("status")
    assert (ended.code, ended.err) == (0, "")
    assert "api" in ended.out
