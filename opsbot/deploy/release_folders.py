"""The strategy "releases": each release in a folder of its own, made beside the live one and switched to."""

import asyncio

from opsbot.deploy.deployment_run import DeploymentRun
from opsbot.deploy.prepare import Preparation
from opsbot.deploy.releases import Releases
from opsbot.services.port import Activity, ServiceState


class ReleaseFolders:
    """See `opsbot.deploy.target.ReleaseStrategy`."""

    def __init__(self, releases: Releases, preparation: Preparation) -> None:
        self._releases = releases
        self.prepare = preparation.export
        self.install = preparation.install

    async def recognise(self) -> None:
        """Nothing to do: only opsbot changes `current`."""

    async def check_return(self, run: DeploymentRun, name: str) -> None:
        """Nothing to do: the folder is complete."""

    async def lay(self, run: DeploymentRun, name: str) -> None:
        """Nothing to do: the switch changes all at once."""

    async def runs(self, state: ServiceState, release: str) -> bool:
        """Whether its process works in this release's folder, which `current` points to."""
        if state.activity is not Activity.RUNNING:
            return False
        releases = self._releases
        folder, live = await asyncio.to_thread(lambda: (releases.path(release).resolve(), releases.live()))
        return state.release == folder and live == release
