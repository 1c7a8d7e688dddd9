"""Addresses that mean one repository, signatures, payloads."""

import hmac
import json
from hashlib import sha256
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.web.forges import Forge, Push, event_of, genuine, normalised, read_push

NAME = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_."), min_size=1, max_size=20).filter(
    lambda name: name.strip(".") == name and not name.lower().endswith(".git")
)
HOST = st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z]{2,5}){1,2}", fullmatch=True)


@given(HOST, NAME, NAME)
def test_every_way_to_write_an_address_comes_to_the_same(host: str, owner: str, name: str) -> None:
    ways = [
        f"https://{host}/{owner}/{name}.git",
        f"https://{host}/{owner}/{name}",
        f"https://{host}/{owner}/{name}/",
        f"http://{host}:8080/{owner}/{name}.git",
        f"https://user:secret@{host}/{owner}/{name}.git",
        f"git@{host}:{owner}/{name}.git",
        f"{host}:{owner}/{name}.git",
        f"git@{host}:/{owner}/{name}",
        f"ssh://git@{host}/{owner}/{name}.git",
        f"ssh://git@{host}:2222/{owner}/{name}.git",
        f"git://{host.upper()}/{owner}//{name}.git",
    ]
    assert {normalised(way) for way in ways} == {f"{host}/{owner}/{name}".lower()}


@given(st.text(max_size=80))
def test_no_text_breaks_it_and_once_is_enough(text: str) -> None:
    assert isinstance(normalised(text), str)


@given(HOST, NAME, NAME, NAME)
def test_different_repositories_stay_different(host: str, owner: str, one: str, other: str) -> None:
    same = normalised(f"git@{host}:{owner}/{one}.git") == normalised(f"https://{host}/{owner}/{other}.git")
    assert same == (one.lower() == other.lower())


def test_ssh_over_the_https_port_and_paths_are_known() -> None:
    assert normalised("ssh://git@ssh.github.com:443/a/b.git") == "github.com/a/b"
    assert normalised("/srv/git/a.git") == normalised("file:///srv/git/a.git") == "/srv/git/a"
    assert normalised("https://[bad") == ""


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40))
def test_a_signature_holds_for_its_body_and_secret_only(body: bytes, secret: str) -> None:
    digest = hmac.new(secret.encode(), body, sha256).hexdigest()
    github = {"X-Hub-Signature-256": f"sha256={digest}"}
    assert genuine(Forge.GITHUB, secret, github, body)
    assert genuine(Forge.GITEA, secret, {"X-Gitea-Signature": digest}, body)
    assert genuine(Forge.GITLAB, secret, {"X-Gitlab-Token": secret}, body)
    assert not genuine(Forge.GITHUB, secret, github, body + b"x")
    assert not genuine(Forge.GITHUB, secret + "x", github, body)
    assert not genuine(Forge.GITLAB, secret, {"X-Gitlab-Token": secret + "x"}, body)
    for forge in Forge:
        assert not genuine(forge, secret, {}, body)
        assert not genuine(forge, "", {"X-Gitlab-Token": "", **github}, body)


@pytest.mark.parametrize("given_", ["", "sha256=", "sha1=abc", "ü", "sha256=" + "0" * 64])
def test_a_malformed_signature_is_wrong_and_no_error(given_: str) -> None:
    assert not genuine(Forge.GITHUB, "s", {"X-Hub-Signature-256": given_}, b"{}")


@given(st.binary(max_size=200), st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]))
def test_no_body_breaks_the_reader(body: bytes, kind: str) -> None:
    read_push(body, kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ref", "after", "repository", "project", "clone_url"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_json_breaks_the_reader(payload: object) -> None:
    read_push(json.dumps(payload).encode(), "application/json")


def test_deeply_nested_json_is_no_push() -> None:
    assert read_push(b"[" * 500_000, "application/json") is None


def test_branches_tags_and_forms_are_read() -> None:
    payload = {"ref": "refs/heads/feature/x", "after": "a" * 40, "repository": {"ssh_url": "git@h.org:a/b.git"}}
    push = read_push(json.dumps(payload).encode(), "application/json")
    assert push is not None
    assert push == Push(frozenset({"h.org/a/b"}), "feature/x", "a" * 40)
    form = urlencode({"payload": json.dumps(payload)}).encode()
    assert read_push(form, "application/x-www-form-urlencoded") == push
    tag = read_push(json.dumps({**payload, "ref": "refs/tags/v1"}).encode(), "application/json")
    assert tag is not None
    assert tag.branch is None


def test_the_event_s_name_is_read_for_each_forge() -> None:
    assert event_of(Forge.GITHUB, {"X-GitHub-Event": "push"}) == "push"
    assert event_of(Forge.GITHUB, {"X-GitHub-Event": "ping"}) == "ping"
    assert event_of(Forge.GITLAB, {"X-Gitlab-Event": "Push Hook"}) == "push"
    assert event_of(Forge.GITLAB, {"X-Gitlab-Event": "Tag Push Hook"}) == "Tag Push Hook"
    assert event_of(Forge.GITEA, {"X-Forgejo-Event": "push"}) == "push"
    assert event_of(Forge.GITEA, {}) == ""
