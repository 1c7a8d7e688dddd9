"""Links to commits, where the remote is a forge whose addresses are known."""

import re
from urllib.parse import urlsplit

_SCP = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+):(?P<path>(?!/)[\w.~/-]+)")
_PATH = re.compile(r"[\w.~-]+(?:/[\w.~-]+)+")
_COMMIT = {"github": "commit", "gitlab": "-/commit", "gitea": "commit", "bitbucket": "commits"}
_COMPARE = {"github": "compare/{a}...{b}", "gitlab": "-/compare/{a}...{b}", "gitea": "compare/{a}...{b}"}
_HEX = re.compile(r"[0-9a-f]{7,64}")


def _kind(host: str) -> str | None:
    words = set(re.split(r"[.-]", host))
    for kind, names in (
        ("github", {"github"}),
        ("gitlab", {"gitlab"}),
        ("gitea", {"gitea", "forgejo", "codeberg"}),
        ("bitbucket", {"bitbucket"}),
    ):
        if words & names:
            return kind
    return None


def web_address(repository: str) -> tuple[str, str] | None:
    """The forge's kind and the repository's page, credentials dropped; None where it is no known forge."""
    scp = _SCP.fullmatch(repository)
    if scp:
        host, path, port = scp["host"], scp["path"], None
    else:
        try:
            split = urlsplit(repository)
            host, path, port = split.hostname or "", split.path, split.port
        except ValueError:
            return None
        if split.scheme not in {"http", "https", "ssh", "git"}:
            return None
        if split.scheme in {"ssh", "git"}:
            port = None
    path = path.strip("/").removesuffix(".git")
    kind = _kind(host.lower())
    if kind is None or "." not in host or not _PATH.fullmatch(path):
        return None
    return kind, f"https://{host.lower()}{f':{port}' if port else ''}/{path}"


def commit_link(repository: str, commit: str) -> str | None:
    found = web_address(repository)
    if found is None or not _HEX.fullmatch(commit):
        return None
    kind, page = found
    return f"{page}/{_COMMIT[kind]}/{commit}"


def compare_link(repository: str, before: str, after: str) -> str | None:
    found = web_address(repository)
    if found is None or found[0] not in _COMPARE or not _HEX.fullmatch(before) or not _HEX.fullmatch(after):
        return None
    kind, page = found
    return f"{page}/{_COMPARE[kind].format(a=before, b=after)}"
