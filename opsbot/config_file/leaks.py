"""Secrets that were written into the configuration file: found by the key's name, or by what the text looks like.

What is found is never shown: problems name the key and the kind of secret, not the value.
"""

import re

_KEY = re.compile(
    r"(?:^|_)(?:token|password|passwd|passphrase|secret|secret_key|api_key|apikey|access_key|private_key|credentials?"
    r"|cookie|authorization)s?$",
)
_LOOKS = (
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("a Discord bot token", r"(?<![\w-])[A-Za-z0-9_-]{23,28}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,}"),
    ("a Discord webhook's address", r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/[\w-]+"),
    ("a GitHub token", r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})"),
    ("a GitLab token", r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|ft|oas)-[\w-]{16,}"),
    ("a Slack token", r"(?<![A-Za-z0-9])xox[abeoprs]-[\w-]{10,}"),
    ("an AWS access key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{30,}"),
    ("an API key", r"(?<![A-Za-z0-9])sk[-_](?:live_|test_|proj-|ant-)?[A-Za-z0-9]{20,}"),
    ("a password in an address", r"[a-z][a-z0-9+.-]*://[^\s/@:\"']*:[^\s/@\"']+@"),
)
_PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in _LOOKS)
REDACTED = "•••"


def names_a_secret(key: str) -> bool:
    """Whether a key of this name would hold a secret itself, not the name of the place where it is."""
    return _KEY.search(key.lower().replace("-", "_")) is not None


def secrets_in(text: str) -> list[tuple[str, str]]:
    """What looks like a secret in the text: what kind it is, and the very characters."""
    return [(name, match[0]) for name, pattern in _PATTERNS for match in pattern.finditer(text)]


def redacted(text: str) -> str:
    """The text with everything that looks like a secret replaced."""
    for _, pattern in _PATTERNS:
        text = pattern.sub(REDACTED, text)
    return text
