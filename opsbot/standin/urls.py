"""Validation of URLs in embeds and link buttons."""

from urllib.parse import urlsplit

from opsbot.standin.errors import FormErrors


def check_url(errors: FormErrors, path: list[str | int], url: object, *, attachment: bool = False) -> None:
    """Check a URL: http(s) (or attachment://), and a host with a dot: `http://localhost:3000` is refused."""
    text = errors.text(path, url, most=2048)
    if text is None:
        return
    schemes = ("http", "https", "attachment") if attachment else ("http", "https", "discord")
    try:
        split = urlsplit(text)
        host = split.hostname or ""
    except ValueError:
        errors.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
        return
    if split.scheme not in schemes:
        errors.add(
            path,
            "URL_TYPE_INVALID_SCHEME",
            f'Scheme "{split.scheme}" is not supported. Scheme must be one of {schemes}.',
        )
    elif split.scheme in ("http", "https") and ("." not in host.strip(".") or " " in text):
        errors.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
