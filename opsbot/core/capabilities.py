"""What a service manager does and does not do: what the rest of opsbot goes by, whichever manager it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of one kind of service manager."""

    has_units: bool
    """Its services are units of systemd: with unit files, users of their own, and a journal."""
    runs_children: bool
    """It starts the processes itself, as children of opsbot, by the settings in opsbot's configuration."""
    asks_before_restarts: bool
    """It asks opsbot's inhibitors before it starts again what died; another one restarts by rules of its own."""
