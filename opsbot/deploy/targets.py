"""Builds the deploy target of each service that has a source, with the strategy it is configured for."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from opsbot.config import Config, Service, Source, Strategy
from opsbot.deploy.release_folders import ReleaseFolders
from opsbot.deploy.releases import Releases
from opsbot.deploy.steps import steps_of
from opsbot.deploy.target import DeployTarget
from opsbot.deploy.verify import Verifier
from opsbot.deploy.waiting import SwitchGate
from opsbot.services.errands import Errands
from opsbot.services.port import ServiceManager
from opsbot.source.repo import Repository
from opsbot.store import Store


def make_targets(
    config: Config,
    store: Store,
    managers: Mapping[str, ServiceManager],
    verifier: Verifier,
    gate: SwitchGate,
    clock: Callable[[], datetime],
    margin: int,
    run_as: Errands | None,
) -> dict[str, DeployTarget]:
    """By the service's name. `margin`: bytes that stay free beside one more release."""
    mark = str(config.state.directory)
    installing = asyncio.Semaphore(1)  # two installations at a time would not fit the host's memory

    def target(service: Service, source: Source) -> DeployTarget:
        shared = (managers[service.name], verifier, gate, store, clock, installing)
        folder, output = source.directory / "releases", config.state.output
        steps = partial(steps_of, service, run_as, folder, mark)
        if source.strategy is Strategy.RELEASES:
            repository, releases = Repository(source, mark), Releases(source, margin)
            strategy = ReleaseFolders(repository, releases, output, steps)
            return DeployTarget(service, source, repository, releases, strategy, *shared)
        # Two modules that most hosts have no use for.
        from opsbot.deploy.checkout import Checkout  # noqa: PLC0415
        from opsbot.deploy.in_place import InPlace  # noqa: PLC0415

        # Not in the checkout, where it would be one more file that git does not know.
        repository = Repository(source, mark, config.state.directory / "mirrors" / f"{service.name}.git")
        checkout = Checkout(source, repository.mirror, margin, mark)
        in_place = InPlace(service, source, repository, checkout, output, steps, store, clock, installing)
        return DeployTarget(service, source, repository, checkout, in_place, *shared)

    return {name: target(each, each.source) for name, each in config.services.items() if each.source is not None}
