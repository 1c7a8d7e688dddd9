"""Tests that need a systemd as PID 1: `tests/lab/inside` runs them in one that is theirs; nobody else collects them."""

import os

collect_ignore_glob = [] if "OPSBOT_LAB" in os.environ else ["*"]
