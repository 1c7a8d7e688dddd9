"""The run record: what the next opsbot needs to find the process of a service.

It is written before the process starts (with the run id alone) and completed once the pid is known. If opsbot dies in
between, the next one finds the process by the run id in its environment.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from opsbot.core.message import Message, decode_kept, encode
from opsbot.runtime.atomic_file import replace_file
from opsbot.services.processes import Process, boot_id, find


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One service: whether it should run, and its run.

    run: the id of the last run, "" before the first. starting: its process is about to be created, or was. pid and
    ticks: its main process, 0 while unknown and after its death. gave_up: it crashed too often. exit: of the last run.
    """

    wanted: bool = False
    by_hand: bool = False
    gave_up: bool = False
    run: str = ""
    starting: bool = False
    boot: str = ""
    pid: int = 0
    ticks: int = 0
    release: str = ""
    started_at: str = ""
    restarts: int = 0
    exit: Message | None = None

    @property
    def began(self) -> datetime | None:
        return datetime.fromisoformat(self.started_at) if self.started_at else None

    @property
    def other_boot(self) -> bool:
        return bool(self.boot and boot_id() and self.boot != boot_id())

    def main(self) -> Process | None:
        if not self.pid or self.other_boot:
            return None
        process = find(self.pid)
        return process if process is not None and process.ticks == self.ticks else None


def owner(directory: Path) -> str:
    """The prefix of the service's run ids, the same for every opsbot."""
    return hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]


def load(directory: Path) -> RunRecord | None:
    """The record in this directory; None where there is none or it is damaged."""
    try:
        kept = json.loads((directory / "run.json").read_text())
        known = {name: kept[name] for name in RunRecord.__dataclass_fields__ if name in kept}
        return RunRecord(**known | {"exit": decode_kept(kept.get("exit"))})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(directory: Path, record: RunRecord, *, lasting: bool) -> None:
    """Replace the record. lasting: needed if it changes whether the service should run."""
    kept = asdict(record) | {"exit": encode(record.exit) if record.exit else None}
    replace_file(directory / "run.json", json.dumps(kept), lasting=lasting)
