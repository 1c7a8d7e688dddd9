"""`opsbot demo`: the complete product on this machine, without a Discord account."""

from opsbot.demo.stage import run_demo

__all__ = ["run_demo"]
