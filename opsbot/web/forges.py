"""Verify and parse the push webhooks of forges. Pure.

A webhook only triggers a poll: the branch's head is read from the repository itself, so a replayed, late or reordered
webhook does no harm.
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
    """Supported forges; the value is the last part of the hook's path."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    """Also Forgejo and Gogs."""


@dataclass(frozen=True, slots=True)
class Push:
    """A push. `repositories`: normalised addresses; `branch`: None for a tag.

    Untrusted text.
    """

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
    """Normalise https, ssh and scp-like addresses of a repository to "host/path".

    Scheme, user, port, letter case and `.git` are removed. A collision of two repositories only causes an extra poll.
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
    """Return the event's name, such as "push" or "ping"; "" if there is none."""
    named = next((headers[name] for name in _EVENTS[forge] if name in headers), "")
    return "push" if named in {"push", "Push Hook"} else named


def genuine(forge: Forge, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the sender knows the secret. Takes constant time.

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
    """Parse the push in a body, JSON or a form with JSON in `payload`.

    None if there is none.
    """
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
