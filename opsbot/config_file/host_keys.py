"""The keys of `[host_checks]`."""

from opsbot import config
from opsbot.config_file import kinds, places
from opsbot.config_file.kinds import DAY, HOUR, MINUTE, NO_TIME, SECOND
from opsbot.config_file.schema import Key, Table

_OFF = "0 turns it off"


def _percent(name: str, doc: str) -> Key:
    return Key(name, kinds.integer(0, 99, 90, "a percentage, or 0 for off,"), doc)


HOST_CHECKS = Table(
    "host_checks",
    "What is watched of the host itself. On by default is what ends services and can be foretold: full disks, no "
    "memory left, certificates that expire. The rest is on where you set it. An alarm needs a figure that stays bad, "
    "and ends only when it stays well by a margin: five points of percentage, or a fifth of a smaller threshold.",
    (
        Key(
            "interval",
            kinds.duration(10 * SECOND, 10 * MINUTE, "1m"),
            "How often the host and each service are measured. A sample a minute takes 24 bytes a figure and shows "
            "every leak.",
        ),
        Key(
            "sustained",
            kinds.duration(NO_TIME, DAY, "5m"),
            "How long a figure must be bad before there is an alarm. A build or a backup may fill memory for a minute.",
        ),
        Key(
            "settled",
            kinds.duration(NO_TIME, DAY, "5m"),
            "How long it must be well again, by the margin, before the alarm is over.",
        ),
        _percent(
            "disk",
            "Percent of a file system in use, of those that hold the state, the services and `/`. At 90 there is "
            f"mostly time left to act. {_OFF}, the forecast as well.",
        ),
        Key(
            "disk_ahead",
            kinds.duration(NO_TIME, 7 * DAY, "6h"),
            "A file system that fills steadily is an alarm so long before it is full, however empty it is now. Six "
            "hours: a night's warning needs no person before the evening is over. `0s` turns the forecast off.",
        ),
        _percent("inodes", f"Percent of a file system's inodes in use: many small files fill it too. {_OFF}."),
        _percent(
            "memory_available",
            "Percent of memory that is still available, caches counted as such; below it the kernel soon kills "
            f"something. {_OFF}.",
        ),
        _percent(
            "swap", f"Percent of swap in use. Off: much of what lies there may never be needed again. {_OFF}; try 80."
        ),
        _percent(
            "pressure",
            "Percent of the last minute in which some task waited for memory (`/proc/pressure/memory`, where the "
            "kernel has it). Off: it is the best sign of a host that thrashes, but not every kernel tells. "
            f"{_OFF}; try 20.",
        ),
        Key(
            "load",
            kinds.integer(0, 1000, 4, "a number of processes, or 0 for off,"),
            "Runnable processes a core, over five minutes. Off: a busy host that answers is no trouble. "
            f"{_OFF}; try 4.",
        ),
        _percent(
            "steal",
            "Percent of CPU time that the hypervisor gives to other guests. Off: nothing can be done about it on the "
            f"host. {_OFF}; try 20.",
        ),
        _percent(
            "fds",
            "Percent of the open files that the host, or opsbot itself, may have. Off: hosts seldom have a bound. "
            f"{_OFF}; try 80.",
        ),
        Key(
            "clock",
            kinds.duration(NO_TIME, HOUR, "5s"),
            "By how much the clock may be wrong: by the `Date` of Discord's answers, and as the kernel reckons "
            "(adjtimex(2); where nobody keeps the clock that grows to 16 s within hours; the hardened unit may not "
            "ask). Off: containers and many small hosts have it kept from outside. `0s` turns it off; try `5s`.",
        ),
        Key(
            "failed_units",
            kinds.boolean(),
            "Tell of units of systemd that have failed, whoever they belong to. Off: most hosts have one that nobody "
            "misses.",
        ),
        Key(
            "certificate",
            kinds.duration(NO_TIME, 365 * DAY, "14d"),
            "How long before a certificate expires there is an alarm. What renews them does so 30 days before: at 14 "
            "it has failed for two weeks. `0s` turns it off.",
        ),
        Key(
            "certificates",
            kinds.listed(
                places.tls_server(), "an array of hosts", '["example.org", "mail.example.org:465"]', once=True
            ),
            "Servers whose certificates are looked at, beside those of the `https` checks. A host, or host:port.",
        ),
        Key(
            "leak_within",
            kinds.duration(HOUR, 14 * DAY, "7d"),
            "A service's leak is told when its memory will be used up within this time. Later than a week, a deploy "
            "mostly comes first.",
        ),
    ),
    of=(config.HostChecks,),
)
