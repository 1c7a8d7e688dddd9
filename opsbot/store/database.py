"""The database connection, its thread, and migrations.

SQL lives in the modules of this package, in functions whose first argument is the connection. `Store.write` runs such a
function in one transaction on the store's own thread, so that cancelling the caller never leaves a partial transaction
and nothing blocks the event loop.

    deployment = await store.write(ledger.claim, draft)
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 10.0


class StoreError(Exception):
    """The database cannot be opened or written to; names the file and a fix."""


def _migrations() -> list[tuple[int, str]]:
    folder = resources.files("opsbot.store") / "migrations"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), (folder / name).read_text()) for name in files]


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (have,) = db.execute("PRAGMA user_version").fetchone()
    known = _migrations()
    if have > known[-1][0]:
        raise StoreError(f"{path} is from a newer opsbot (version {have}); install that one, or move the file away")
    for number, sql in known:
        if number > have:
            # executescript commits: the script sets the version, too, so that a crash cannot separate the two.
            db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: committed data (an alert, a phase) must survive a power failure. Writes are rare: 0.6 ms do not matter.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA cache_size = -1024")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _set_aside(path: Path) -> Path | None:
    """Move a damaged database away; returns its new path, None if intact or missing.

    If opsbot refused to start because of a damaged history, services would be unmonitored without notice. It continues
    with a new database and keeps the damaged file for repair.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
        found = str(error)
    if found == "ok":
        return None
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    log.error("%s is damaged (%s): it was moved to %s and a new database was created", path, found, aside)
    # The database first: after a kill in between, SQLite discards the write-ahead log of a missing database.
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    return aside


def _connect(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        aside = _set_aside(path)
        # Created here to set its mode, which SQLite also applies to the WAL: users who may enter the directory for the
        # control socket must not read the history.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        return _open(path), aside
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {error}. Check the directory's owner and free space.") from error


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open a connection for a reader in another process. Raises StoreError."""
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
        db.row_factory = sqlite3.Row
        (have,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    newest = _migrations()[-1][0]
    if have != newest:
        db.close()
        fix = "start opsbot once to migrate it" if have < newest else "use that version's commands"
        age = "an older" if have < newest else "a newer"
        raise StoreError(f"{path} is from {age} opsbot (version {have} and not {newest}): {fix}")
    return db


class Store:
    """The only writer; an async context manager, or call `open()` and `close()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None
        self.set_aside: Path | None = None
        """New path of a damaged database that was replaced by an empty one."""

    async def open(self) -> None:
        """Open, create, migrate; a damaged file is `set_aside`. Raises StoreError."""
        opened = await asyncio.get_running_loop().run_in_executor(self._thread, _connect, self.path)
        self._db, self.set_aside = opened

    async def close(self) -> None:
        """Finish pending work and close the file."""
        if self._db is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
            self._db = None
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f"{self.path} is not open")
        return self._db

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        db = self._connection()
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: query(db, *args, **kwargs))

    async def write(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function in one transaction, which is rolled back if the function raises.

        Shielded: once started it runs to completion, even if the caller is cancelled.
        """
        db = self._connection()

        def transact() -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db, *args, **kwargs)
            except BaseException:
                with suppress(sqlite3.Error):  # the failed statement may have rolled back already
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return result

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, transact))
