"""Persistence in SQLite: plain SQL in functions, run by `Store` on one thread."""

from opsbot.store.database import Store, StoreError, open_readonly

__all__ = ["Store", "StoreError", "open_readonly"]
