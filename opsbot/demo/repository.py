"""The sample service's git repository: a bare remote and a working clone."""

import asyncio
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

GREETINGS = (
    "Hello in a warmer voice",
    "Hello with the time of day",
    "Hello to everybody in the room",
    "Hello, and a word about the weather",
    "Hello in three languages",
)
AUTHORS = (
    ("Aiko Tanaka", "aiko@example.org"),
    ("Ben Okafor", "ben@example.org"),
    ("Chiara Rossi", "chiara@example.org"),
)


class RepositoryError(RuntimeError):
    """git failed; the message holds its output."""


class SampleRepository:
    """Creates and pushes commits for the demo's buttons."""

    def __init__(self, folder: Path) -> None:
        self.remote = folder / "hello.git"
        self.work = folder / "hello"
        self._count = 0
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Create the remote with its first commit.

        Raises:
            RepositoryError: git failed.
        """
        self.work.mkdir(parents=True)
        await self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote), cwd=self.work)
        await self._git("init", "--quiet", "--initial-branch=main", ".")
        await self._git("remote", "add", "origin", str(self.remote))
        sample = resources.files("opsbot.demo") / "sample"
        for entry in sample.iterdir():
            if entry.is_file():
                (self.work / entry.name).write_bytes(entry.read_bytes())
        await self._push("A small web server that says hello")

    async def _git(self, *args: str, cwd: Path | None = None) -> str:
        name, mail = AUTHORS[self._count % len(AUTHORS)]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.work),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": mail,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": mail,
            "LC_ALL": "C.UTF-8",
        }
        process = await asyncio.create_subprocess_exec(
            "git",
            *args,
            cwd=cwd or self.work,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo
        )
        out, _ = await process.communicate()
        if process.returncode:
            raise RepositoryError(f"git {args[0]} failed: {out.decode(errors='replace').strip()}")
        return out.decode(errors="replace").strip()

    async def _push(self, title: str) -> str:
        await self._git("add", "--all")
        await self._git("commit", "--quiet", "--allow-empty", "--message", title)
        await self._git("push", "--quiet", "--force", "origin", "main")
        self._count += 1
        return f"pushed {await self._git('rev-parse', '--short=10', 'HEAD')}: {title}"

    async def _commit(
        self, title: str, settings: Mapping[str, object] = MappingProxyType({}), packages: str = ""
    ) -> str:
        """Push a commit with these settings and packages besides the usual ones."""
        async with self._lock:
            wanted = {"GREETING": GREETINGS[self._count % len(GREETINGS)], "HEALTH_STATUS": 200, "DIES_AFTER": 0.0}
            lines = [f"{name} = {json.dumps(value)}\n" for name, value in {**wanted, **settings}.items()]
            (self.work / "settings.py").write_text('"""What the commits of the demo change."""\n\n' + "".join(lines))
            (self.work / "packages.txt").write_text(f"greetings==1.4\nclock==2.0\n{packages}")
            return await self._push(title or str(wanted["GREETING"]))

    async def good(self) -> str:
        return await self._commit("")

    async def good_with_packages(self) -> str:
        return await self._commit("Say hello in colours", packages="colours==0.9\n")

    async def bad_install(self) -> str:
        return await self._commit("Use left-padding for the greeting", packages="left-padding==9.9\n")

    async def syntax_error(self) -> str:
        """Push a commit that does not start."""
        return await self._commit("Tidy the settings", {"GREETING +": 1})

    async def answers_500(self) -> str:
        return await self._commit("Ask the database for the greeting", {"HEALTH_STATUS": 500})

    async def dies_later(self) -> str:
        return await self._commit("Refresh the session in the background", {"DIES_AFTER": 3.0})

    async def docs_only(self) -> str:
        async with self._lock:
            with (self.work / "README.md").open("a") as file:
                file.write("\nNothing new.\n")
            return await self._push("Describe nothing new")

    async def force(self) -> str:
        """Rewrite the branch's history: replace its last commit."""
        async with self._lock:
            await self._git("reset", "--quiet", "--hard", "HEAD~1")
        return await self._commit("Rewrite what was said before", {"GREETING": "Hello from a rewritten history"})
