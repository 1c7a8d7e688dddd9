"""Keys that systemd removed, deprecated, or accepts in another section only.

All were verified with `systemd-analyze verify` of systemd 252; systemd.resource-control(5), "Deprecated options".
"""

from collections.abc import Mapping

from opsbot.units.unit_file import Setting

_RENAMED: Mapping[str, str] = {
    "MemoryLimit": "MemoryMax",
    "CPUShares": "CPUWeight",
    "StartupCPUShares": "StartupCPUWeight",
    "BlockIOAccounting": "IOAccounting",
    "BlockIOWeight": "IOWeight",
    "StartupBlockIOWeight": "StartupIOWeight",
    "BlockIODeviceWeight": "IODeviceWeight",
    "BlockIOReadBandwidth": "IOReadBandwidthMax",
    "BlockIOWriteBandwidth": "IOWriteBandwidthMax",
    "ReadWriteDirectories": "ReadWritePaths",
    "ReadOnlyDirectories": "ReadOnlyPaths",
    "InaccessibleDirectories": "InaccessiblePaths",
    "StartLimitInterval": "StartLimitIntervalSec",
}
_LIMITS = frozenset(name for name in _RENAMED if name.startswith(("Memory", "CPU", "Startup", "BlockIO")))
_SYSLOG = frozenset({"syslog", "syslog+console"})

_KEYS = {
    "Unit": "Description Documentation Wants Requires Requisite BindsTo PartOf Upholds Conflicts Before After OnFailure"
    " OnSuccess StartLimitIntervalSec StartLimitBurst StartLimitAction DefaultDependencies ConditionPathExists"
    " AssertPathExists RequiresMountsFor",
    "Service": "Type ExecStart ExecStartPre ExecStartPost ExecReload ExecStop ExecStopPost Restart RestartSec"
    " TimeoutStartSec TimeoutStopSec TimeoutSec WatchdogSec PIDFile NotifyAccess RemainAfterExit User Group"
    " SupplementaryGroups WorkingDirectory Environment EnvironmentFile UMask MemoryMax MemoryHigh TasksMax CPUQuota"
    " KillMode KillSignal NoNewPrivileges ProtectSystem ProtectHome PrivateTmp ReadWritePaths StateDirectory"
    " RuntimeDirectory LoadCredential StandardOutput StandardError SyslogIdentifier",
    "Install": "WantedBy RequiredBy Also Alias DefaultInstance",
}
_HOME: Mapping[str, str] = {key: section for section, keys in _KEYS.items() for key in keys.split()}


def deprecated(setting: Setting) -> tuple[str, str, bool] | None:
    """Return a key's effect, the fix, and whether it is an error; None if current."""
    key, value = setting.key, setting.value
    if key in {"StartLimitInterval", "StartLimitBurst"} and setting.section == "Service":
        new = _RENAMED.get(key, key)
        return "it is in [Service], which only old units use", f"Move it to [Unit] as {new}={value}", False
    if setting.section not in {"Unit", "Service"}:
        return None
    if key in _RENAMED and value:
        new = _RENAMED[key]
        soon = " and systemd announces its removal" if key in _LIMITS else ""
        fix = f"Write {new}= (its weights count otherwise)" if "Weight" in new else f"Write {new}={value}"
        return f"it is deprecated{soon}", fix, False
    if key == "PermissionsStartOnly" and value:
        return "it is deprecated", "Remove it, and put + before the commands that need root (ExecStartPre=+...)", False
    if key in {"StandardOutput", "StandardError"} and value in _SYSLOG:
        return f"{value} is obsolete; systemd treats it as journal", "Remove it", False
    if key == "KillMode" and value == "none":
        return (
            "a stop ends no process: old ones keep running the old release and occupy the port; it is deprecated",
            "Remove it (control-group is the default), or set KillMode=mixed",
            True,
        )
    return None


def misplaced(setting: Setting) -> str | None:
    """Return the right section of a misplaced key; else None."""
    home = _HOME.get(setting.key)
    if home is None or setting.section not in {"Unit", "Service", "Install"} or setting.section == home:
        return None
    return home
