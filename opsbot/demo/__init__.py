"""The whole product on this machine with no Discord account: `opsbot demo`."""

from opsbot.demo.stage import run_demo

__all__ = ["run_demo"]
