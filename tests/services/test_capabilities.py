"""Nothing but what configures, constructs or implements service managers asks which one it is."""

from pathlib import Path

import opsbot
from opsbot.config import ManagerKind

ROOT = Path(opsbot.__file__).parent
MAY_ASK = ("config.py", "config_file/", "cli/init.py", "cli/init_text.py", "services/", "wiring.py", "daemon/wiring.py")


def test_every_manager_has_its_capabilities() -> None:
    assert all(kind.capabilities for kind in ManagerKind)


def test_only_configuration_wiring_and_services_know_the_kinds() -> None:
    files = [path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "ManagerKind" in path.read_text()]

    assert [str(path) for path in sorted(files) if not str(path).startswith(MAY_ASK)] == []
