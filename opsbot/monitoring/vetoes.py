"""The vetoes that recovery asks, under the watcher's roof; the deployer, below it, shares them."""

from opsbot.deploy.vetoes import Veto, Vetoes, first

__all__ = ["Veto", "Vetoes", "first"]
