"""Keeps the daemon small, and its collector out of the way: it shares a small host with the services it looks after."""

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
    """Let glibc's malloc keep one arena; to be called before the first thread is started.

    It would make one for each of a dozen threads, and each holds on to the most it ever needed: some MB for work of
    microseconds. Another C library has no arenas to limit.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


@contextmanager
def lean_imports() -> Iterator[None]:
    """Let the libraries imported in here come without what is not worth its memory.

    frozenlist's compiled half is C++, and for lists of a few signal handlers it brings libstdc++ along: 1.3 MB. Its own
    switch is an environment variable, which no child process is to inherit. aiohttp.web reads the host's table of MIME
    types for files that it never serves here; Python's own table will do. APScheduler brings pools of processes along
    for an executor that nothing here asks for: half a MB.
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
            if module is unneeded[name]:  # who asks for it from now on gets the real one
                del sys.modules[name]
        mimetypes.knownfiles = tables
        os.environ.pop(switch)
        if before is not None:
            os.environ[switch] = before


def unload(*packages: str) -> None:
    """Forget modules that only starting needs; whoever needs one again imports it again.

    Reading and checking a configuration takes 3 MB of code and tables, and a reload of it is rare. What is imported
    next takes the room that this leaves.
    """
    for name in [name for name in sys.modules if name in packages or name.startswith(tuple(f"{p}." for p in packages))]:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)
    for forget in getattr(typing, "_cleanups", ()):  # typing remembers what was last asked of it, and so those modules
        forget()
    gc.collect()


def give_back() -> None:
    """Return to the kernel what is free amid the heap; glibc by itself returns only its upper end."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle_collector() -> None:
    """Have the garbage collector leave alone what was made up to now, and come less often; for when all is set up.

    A round of checks makes thousands of objects and drops them without a cycle among them. At Python's own thresholds
    the collector's visits were a third of what a round costs.
    """
    gc.unfreeze()  # what the configuration before left behind, after a reload
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
