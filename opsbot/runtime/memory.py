"""Reduce memory use and garbage collection of the daemon."""

import ctypes
import gc
import mimetypes
import os
import sys
import typing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from types import ModuleType

_M_ARENA_MAX = -8
"""malloc.h"""
ARENAS = 1
YOUNG, MIDDLE, OLD = 5_000, 20, 20


def limit_arenas() -> None:
    """Limit glibc's malloc to one arena; call before starting the first thread.

    It would create one per thread, each keeping its peak size: several MB for a dozen threads that work for
    microseconds. Other C libraries have no arenas to limit.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import libraries in this context without unused parts that cost memory.

    frozenlist's compiled extension is C++ and loads libstdc++ (1.3 MB) for lists of a few signal handlers; its switch
    is an environment variable, which child processes must not inherit. aiohttp.web reads the host's MIME type table for
    files that it never serves here; Python's own table suffices. APScheduler imports process pools (half a MB) for an
    executor that is not used.
    """
    pools = ModuleType("concurrent.futures.process")
    pools.BrokenProcessPool = BrokenExecutor  # type: ignore[attr-defined]
    unneeded = {pools.__name__: pools, "multiprocessing": ModuleType("multiprocessing")}
    put = {name: sys.modules.setdefault(name, module) for name, module in unneeded.items()}
    switch = "FROZENLIST_NO_EXTENSIONS"
    before = os.environ.get(switch)
    os.environ[switch] = "1"
    tables, mimetypes.knownfiles = mimetypes.knownfiles, []
    try:
        yield
    finally:
        for name, module in put.items():
            if module is unneeded[name]:  # later imports get the real module
                del sys.modules[name]
        mimetypes.knownfiles = tables
        os.environ.pop(switch)
        if before is not None:
            os.environ[switch] = before


def unload(*packages: str) -> None:
    """Remove modules that are rarely needed; they are imported again on demand.

    Reading and checking a configuration takes 3 MB of code and tables, and reloads are rare. Later imports reuse the
    freed memory.
    """
    for name in [name for name in sys.modules if name in packages or name.startswith(tuple(f"{p}." for p in packages))]:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)
    for forget in getattr(typing, "_cleanups", ()):  # typing's caches keep references to the modules
        forget()
    gc.collect()


def give_back() -> None:
    """Return free heap memory to the kernel; glibc only returns the top of the heap."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle_collector() -> None:
    """Exempt existing objects from garbage collection, and collect less often.

    A round of checks creates and drops thousands of objects without reference cycles. With Python's default
    thresholds, collections were a third of its cost.
    """
    gc.unfreeze()  # objects of the previous configuration, after a reload
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
