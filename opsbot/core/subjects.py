"""Subjects of incidents: a service's name, or `host:WHAT`.

A service's name holds no colon, so the two never meet. `host:disk:/`, `host:memory`, `host:cert:example.org`.
"""

HOST = "host:"
OPSBOT = "host:opsbot"
"""opsbot itself, on this host."""


def is_host(subject: str) -> bool:
    """Whether it is something of the host, which nobody restarts or rolls back."""
    return subject.startswith(HOST)


def subject_title(subject: str) -> str:
    """The subject where a sentence begins: "api", "The host's disk /"."""
    said = subject_name(subject)
    return said[:1].upper() + said[1:] if is_host(subject) and subject != OPSBOT else said


def subject_name(subject: str) -> str:
    """The subject for people: "api", "the host's disk /", "the host's memory"."""
    if not is_host(subject):
        return subject
    if subject == OPSBOT:
        return "opsbot itself"
    return "the host's " + subject.removeprefix(HOST).replace(":", " ", 1)
