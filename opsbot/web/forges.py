"""What each forge sends when somebody pushes, read and verified. Pure.

The payload is only a hint to look: what the branch points to is asked of the repository itself. So a push that is
replayed, late or out of order does no harm.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from urllib.parse import parse_qs, unquote, urlsplit


class Forge(StrEnum):
    """Whose pushes are understood; the value is the last part of the hook's path."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    """Forgejo and Gogs, too."""


@dataclass(frozen=True, slots=True)
class Push:
    """Somebody pushed. `repositories` are normalised addresses; `branch` None where it was a tag. Untrusted text."""

    repositories: frozenset[str]
    branch: str | None
    commit: str = ""


_EVENTS: Mapping[Forge, tuple[str, ...]] = {
    Forge.GITHUB: ("X-GitHub-Event",),
    Forge.GITLAB: ("X-Gitlab-Event",),
    Forge.GITEA: ("X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event"),
}
_ADDRESSES = (
    "clone_url",
    "ssh_url",
    "git_url",
    "html_url",
    "git_http_url",
    "git_ssh_url",
    "http_url",
    "url",
    "web_url",
)
_SCP = re.compile(r"(?:[^@/\s]+@)?(\[[^\]]+\]|[^:/\s]+):(?!//)(.*)", re.DOTALL)
_SSH_OVER_HTTPS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}


def normalised(address: str) -> str:
    """An address without what differs between https, ssh and scp-like ones of one repository: "host/path".

    Scheme, user, port, letter case and `.git` go. Two repositories that come to the same only cost a look too many.
    """
    address = address.strip()
    if "://" in address:
        try:
            url = urlsplit(address)
            host, path = url.hostname or "", url.path
        except ValueError:
            return ""
    elif address.startswith("/") or (scp := _SCP.fullmatch(address)) is None:
        host, path = "", address
    else:
        host, path = scp[1].strip("[]"), scp[2]
    host = host.lower()
    path = re.sub(r"/+", "/", unquote(path)).strip("/").removesuffix(".git").rstrip("/")
    return f"{_SSH_OVER_HTTPS.get(host, host)}/{path}".lower()


def event_of(forge: Forge, headers: Mapping[str, str]) -> str:
    """What happened, "push" and "ping" among others; "" where it says nothing."""
    named = next((headers[name] for name in _EVENTS[forge] if name in headers), "")
    return "push" if named in {"push", "Push Hook"} else named


def genuine(forge: Forge, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether who sent this knows the secret. Takes the same time whatever is wrong.

    GitHub: HMAC-SHA256 of the body as `X-Hub-Signature-256: sha256=HEX`. Gitea: the same as `X-Gitea-Signature: HEX`.
    GitLab: the secret itself as `X-Gitlab-Token`.
    """
    if not secret:
        return False
    if forge is Forge.GITLAB:
        return _same(headers.get("X-Gitlab-Token", ""), secret)
    right = hmac.new(secret.encode(), body, sha256).hexdigest()
    if forge is Forge.GITEA:
        given = next(
            (headers[n] for n in ("X-Gitea-Signature", "X-Forgejo-Signature", "X-Gogs-Signature") if n in headers), ""
        )
        return _same(given, right)
    return _same(headers.get("X-Hub-Signature-256", ""), f"sha256={right}")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def read_push(body: bytes, content_type: str) -> Push | None:
    """The push in a body, JSON or a form with JSON in `payload`; None where it is none."""
    try:
        if content_type == "application/x-www-form-urlencoded":
            body = parse_qs(body.decode(), max_num_fields=16)["payload"][0].encode()
        payload = json.loads(body)
    except (ValueError, KeyError, RecursionError):
        return None
    if not isinstance(payload, dict) or not isinstance(ref := payload.get("ref"), str):
        return None
    tables = [table for name in ("repository", "project") if isinstance(table := payload.get(name), dict)]
    found = {value for table in tables for name in _ADDRESSES if isinstance(value := table.get(name), str)}
    commit = payload.get("after")
    return Push(
        frozenset(normalised(address) for address in found),
        ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None,
        commit if isinstance(commit, str) else "",
    )
