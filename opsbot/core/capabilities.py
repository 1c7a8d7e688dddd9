"""Capabilities of service managers, so that no code asks which manager it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of one kind of service manager."""

    has_units: bool
    """Its services are systemd units, with unit files, separate users and a journal."""
    runs_children: bool
    """It starts the processes as children of opsbot, as configured in opsbot."""
    asks_before_restarts: bool
    """It asks opsbot's inhibitors before it restarts what died; other managers follow separate rules."""
