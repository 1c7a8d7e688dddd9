"""Watching: probe, judge, record, act."""

from opsbot.watch.watcher import Watcher

__all__ = ["Watcher"]
