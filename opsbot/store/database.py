"""The connection, its one thread, and the migrations.

The SQL stands in the modules beside this one, in functions whose first argument is the connection. `Store.write` runs
such a function inside one transaction on the store's own thread, so that cancelling the caller never leaves half a
transaction behind, and nothing blocks the event loop.

    deployment = await store.write(ledger.claim, draft)
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 10.0


class StoreError(Exception):
    """The database cannot be opened or written; the text names the file and the mend."""


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
            # executescript commits by itself: the version is set in the same script, so a crash cannot part them.
            db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: what was promised (an alert, a phase) outlives a power cut. Writes are rare: its 0.6 ms do not matter.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA cache_size = -1024")
        _migrate(db, path)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {error}. Check the directory's owner and free space.") from error
    return db


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection for a reader in another process, while the daemon writes or after it died.

    Raises:
        StoreError: there is no such file, or it cannot be read.
    """
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        db.row_factory = sqlite3.Row
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    return db


class Store:
    """The one writer. Use as an async context manager, or `open()` and `close()`."""

    def __init__(self, path: Path) -> None:
        """Remember the path; nothing is opened yet."""
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, make it where it is missing, and bring its tables up to date.

        Raises:
            StoreError: it cannot be opened.
        """
        self._db = await asyncio.get_running_loop().run_in_executor(self._thread, _connect, self.path)

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        if self._db is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
            self._db = None
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f"{self.path} is not open")
        return self._db

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function that only reads."""
        db = self._connection()
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: query(db, *args, **kwargs))

    async def write(
        self, deed: Callable[Concatenate[sqlite3.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function inside one transaction; what it raises undoes all of it.

        Shielded: once begun it runs to its end, also when the caller is cancelled.
        """
        db = self._connection()

        def transact() -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = deed(db, *args, **kwargs)
            except BaseException:
                with suppress(sqlite3.Error):  # the statement that failed may have rolled back by itself
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return result

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, transact))
