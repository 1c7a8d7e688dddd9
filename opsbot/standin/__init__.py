"""A local stand-in for Discord, for demo and tests: REST, gateway and web page."""

from opsbot.standin.client_input import InputError
from opsbot.standin.driver import InteractionFailedError, Person, Response
from opsbot.standin.panel import PanelButton
from opsbot.standin.permissions import PermissionBit
from opsbot.standin.server import Standin

__all__ = ["InputError", "InteractionFailedError", "PanelButton", "PermissionBit", "Person", "Response", "Standin"]
