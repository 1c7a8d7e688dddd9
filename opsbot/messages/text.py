"""What the catalogue holds for a code."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from opsbot.core.message import Param

Text: TypeAlias = str | Callable[[Mapping[str, Param]], str]
"""A format string, see `opsbot.messages.render`, or a function that chooses one by the parameters."""
