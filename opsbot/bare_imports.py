"""Imports modules without their docstrings: discord.py's alone are a megabyte of memory, and nobody reads them.

`python -OO` does so for everything, but wants everything compiled anew, and drops assertions, too.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from inspect import CO_OPTIMIZED
from opcode import opmap
from types import CodeType

_LOAD_CONST = opmap["LOAD_CONST"]
_BLANK = " "
"""Not empty: where a class has none at all, dataclasses make up one."""
_WORTH_IT = 60
"""Characters of a docstring that are worth the work."""


@contextmanager
def without_docstrings(but: Collection[str] = ()) -> Iterator[None]:
    """Leave docstrings out of what is imported in here, but for these packages: `__doc__` is blank there."""
    read = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        code = read(self, fullname)
        return bare(code) if code is not None and fullname.partition(".")[0] not in but else code

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SourceFileLoader.get_code = read  # type: ignore[method-assign]


def bare(code: CodeType) -> CodeType:
    """The code of a module, a class or a function, and of all in it, without docstrings.

    A function's is its first constant, which it never loads; a module's is its first, a class's its second after its
    name, and each is loaded once, to be stored (compile.c of CPython). One that is used besides is left.
    """
    constants = [bare(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    function = code.co_flags & CO_OPTIMIZED
    place = 0 if function or code.co_name == "<module>" else 1
    if place < len(constants) and isinstance(text := constants[place], str) and len(text) >= _WORTH_IT:
        loads = zip(code.co_code[::2], code.co_code[1::2], strict=True)
        if sum(pair == (_LOAD_CONST, place) for pair in loads) == (0 if function else 1):
            constants[place] = _BLANK
    return code.replace(co_consts=tuple(constants))
