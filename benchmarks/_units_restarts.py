"""Requests lost while a service is restarted 20 times under load, by how its units are made.

The same program each time (`_restarted.py`, 20 ms a request), restarted as opsbot does it; 200 requests a second, each
on a connection of its own. Lost is a request that was not answered with 200 within 5 s. Baseline: one plain unit.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import Row, Scale, quantile, row, skipped
from benchmarks._bed import free_ports, serving
from benchmarks._lab import units
from opsbot.config import ManagerKind, Service
from opsbot.services.systemd.manager import Systemd

RESTARTS = 20
RATE = 200
BETWEEN = 0.7
"""Seconds from one restart's end to the next one."""

UNIT = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={python} -S -E {script} {port}
"""
SOCKET = """\
[Socket]
ListenStream=127.0.0.1:{port}
Backlog=4096
"""
NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream pair {{ server 127.0.0.1:{first} max_fails=0; server 127.0.0.1:{second} max_fails=0; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ proxy_pass http://pair; proxy_next_upstream error timeout; }}
  }}
}}
"""
HAPROXY = """\
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
  retries 3
  option redispatch
  retry-on conn-failure empty-response
frontend in
  bind 127.0.0.1:{port}
  default_backend pair
backend pair
  balance roundrobin
  server a 127.0.0.1:{first} check inter 500ms
  server b 127.0.0.1:{second} check inter 500ms
"""
PROXY = "[Service]\nType=exec\nExecStart={command}\n"


@dataclass(slots=True)
class Answers:
    """What came of the requests: seconds of those that were answered, and why others were not."""

    took: list[float] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)

    async def ask(self, port: int) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(5):
                why = await _ask(port)
        except (OSError, TimeoutError) as error:
            why = type(error).__name__
        if why:
            self.lost[why] = self.lost.get(why, 0) + 1
        else:
            self.took.append(time.perf_counter() - began)

    def words(self) -> str:
        """In a line."""
        why = "".join(f", {count} {name}" for name, count in sorted(self.lost.items()))
        asked = len(self.took) + sum(self.lost.values())
        return f"of {asked}; slowest {max(self.took) * 1000:.0f} ms, p50 {quantile(self.took, 0.5) * 1000:.0f} ms{why}"


async def _ask(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        answer = await reader.read(4096)
    finally:
        writer.transport.abort()
    if b" 200 " in answer[:15]:
        return ""
    return answer[:12].decode(errors="replace") or "no answer"


async def _load(port: int, over: asyncio.Event) -> Answers:
    """So many a second, however long each takes."""
    answers, asked, began = Answers(), 0, time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while not over.is_set():
            group.create_task(answers.ask(port))
            asked += 1
            await asyncio.sleep(max(began + asked / RATE - time.perf_counter(), 0))
    return answers


async def _restart(names: tuple[str, ...], port: int, folder: Path, restarts: int) -> Answers:
    manager = Systemd({"web": Service("web", ManagerKind.SYSTEMD, units=names)}, folder / names[0])
    await manager.open()
    over = asyncio.Event()
    try:
        await serving([port])
        load = asyncio.create_task(_load(port, over))
        for _ in range(restarts):
            await asyncio.sleep(BETWEEN)
            await manager.restart("web")
        await asyncio.sleep(BETWEEN)
        over.set()
        return await load
    finally:
        over.set()
        await manager.close()


def _text(port: int) -> str:
    return UNIT.format(python=sys.executable, script=Path(__file__).with_name("_restarted.py"), port=port)


async def _plain(folder: Path, restarts: int) -> Answers:
    (port,) = free_ports(1)
    async with units({"bench-plain.service": _text(port)}):
        return await _restart(("bench-plain.service",), port, folder, restarts)


async def _socket(folder: Path, restarts: int) -> Answers:
    (port,) = free_ports(1)
    texts = {"bench-held.socket": SOCKET.format(port=port), "bench-held.service": _text(port)}
    async with units(texts):
        return await _restart(("bench-held.service",), port, folder, restarts)


async def _pair(folder: Path, restarts: int, proxy: Callable[..., AbstractAsyncContextManager[None]]) -> Answers:
    first, second, port = free_ports(3)
    names = ("bench-pair1.service", "bench-pair2.service")
    async with units(dict(zip(names, map(_text, (first, second)), strict=True))):
        await serving([first, second])
        async with proxy(folder, first=first, second=second, port=port):
            return await _restart(names, port, folder, restarts)


@asynccontextmanager
async def _nginx(folder: Path, **ports: int) -> AsyncIterator[None]:
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, **ports))
    command = f"{shutil.which('nginx')} -e {folder}/nginx.log -c {folder}/nginx.conf"
    async with units({"bench-proxy.service": PROXY.format(command=command)}):
        yield


@asynccontextmanager
async def _haproxy(folder: Path, **ports: int) -> AsyncIterator[None]:
    (folder / "haproxy.cfg").write_text(HAPROXY.format(**ports))
    command = f"{shutil.which('haproxy')} -db -f {folder}/haproxy.cfg"
    async with units({"bench-proxy.service": PROXY.format(command=command)}):
        yield


PROXIES: Mapping[str, Callable[..., AbstractAsyncContextManager[None]]] = {"nginx": _nginx, "haproxy": _haproxy}


async def run(scale: Scale) -> list[Row]:
    """Plain, socket-activated, and two behind each proxy that is there."""
    restarts = scale.times(RESTARTS)
    name = f"requests lost in {restarts} restarts"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        folder = Path(made)
        plain = await _plain(folder, restarts)
        lost = float(sum(plain.lost.values()))

        def told(how: str, answers: Answers) -> Row:
            count = sum(answers.lost.values())
            return row(f"{name}: {how}", count, "requests", "one plain unit", lost, "0", answers.words())

        rows.append(row(f"{name}: one plain unit", lost, "requests", note=plain.words()))
        rows.append(told("socket-activated, drains", await _socket(folder, restarts)))
        for proxy, opened in PROXIES.items():
            how = f"two one by one behind {proxy}"
            if shutil.which(proxy) is None:
                rows.append(skipped(f"{name}: {how}", f"{proxy} is not installed"))
            else:
                rows.append(told(how, await _pair(folder, restarts, opened)))
    return rows
