"""A D-Bus that is away is said in the channel when it lasts, and then when it is over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbot.config import Config, Discord, Http, Secret, StateConfig
from opsbot.core.access import Ranks
from opsbot.daemon.dbus_monitor import PATIENCE, DbusMonitor
from opsbot.daemon.wiring import open_engine
from opsbot.messages import render
from opsbot.store import outbox

AT = datetime(2026, 11, 25, 14, 3, tzinfo=UTC)


class World:
    now = AT
    connected = True


async def test_it_is_told_once_when_it_lasts_and_when_it_is_over(tmp_path: Path) -> None:
    world, notes = World(), list[str]()
    config = Config(
        tmp_path / "config.toml",
        Discord(Secret("OPSBOT_NO_TOKEN"), 1, 2),
        Ranks(),
        StateConfig(tmp_path),
        Http(None),
        {},
    )
    async with open_engine(config, lambda: world.now) as parts:
        watch = DbusMonitor(parts.engine, lambda: world.connected, notes.append)

        async def told(after: timedelta, *, connected: bool) -> list[str]:
            world.now += after
            world.connected = connected
            await watch.check()
            waiting = await parts.engine.store.read(outbox.pending, world.now)
            return [render(notice.said) for notice in waiting]

        assert await told(timedelta(0), connected=True) == []
        assert await told(timedelta(seconds=5), connected=False) == []
        assert notes[-1] == "no connection to systemd since 2026-11-25 14:03 UTC"
        assert await told(timedelta(seconds=5), connected=True) == [], "D-Bus was started anew: nobody is called"
        assert notes[-1] == ""
        assert await told(timedelta(seconds=5), connected=False) == []
        lost = f"{world.now:%Y-%m-%d %H:%M} UTC"
        (text,) = await told(PATIENCE, connected=False)
        assert text.startswith(f"opsbot has had no connection to systemd since {lost}: D-Bus is disconnected.")
        assert "systemctl status dbus" in text
        assert await told(timedelta(minutes=4), connected=False) == [text]
        _, back = await told(timedelta(seconds=5), connected=True)
        assert back.startswith("Connected to systemd again after 5 m; ")
        assert notes[-1] == ""
