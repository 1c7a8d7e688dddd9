"""Uploaded files, referenced by attachments, embeds and components."""

import mimetypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from opsbot.standin import limits
from opsbot.standin.components import rebuild
from opsbot.standin.errors import Json, bad_form, refuse

KEPT_BYTES = 256 * 1024 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_MEDIA_KEYS = ("url", "proxy_url", "width", "height", "content_type")
Place = Callable[[Json], Json]


@dataclass(frozen=True, slots=True)
class Upload:
    """One `files[n]` of a multipart request."""

    index: int
    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A file behind an attachment URL."""

    filename: str
    content_type: str
    data: bytes


@dataclass(slots=True)
class Files:
    """The uploaded files by attachment id, at most `KEPT_BYTES`."""

    base_url: Callable[[], str]
    new_id: Callable[[], int]
    stored: dict[int, Stored] = field(default_factory=dict)
    _bytes: int = 0

    def attach(self, channel_id: int, described: object, uploads: Iterable[Upload]) -> list[Json]:
        """Store the uploads; return attachment objects, named as `described`."""
        notes = {str(a.get("id")): a for a in described if isinstance(a, dict)} if isinstance(described, list) else {}
        return [self._attach(channel_id, notes.get(str(upload.index), {}), upload) for upload in uploads]

    def _attach(self, channel_id: int, note: Json, upload: Upload) -> Json:
        if len(upload.data) > limits.FILE_BYTES:
            raise refuse("file_too_large")
        file_id = self.new_id()
        name = str(note.get("filename") or upload.filename or "unknown").replace("/", "_")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.stored[file_id] = Stored(name, kind, upload.data)
        self._bytes += len(upload.data)
        while self._bytes > KEPT_BYTES:
            self._bytes -= len(self.stored.pop(next(iter(self.stored))).data)
        url = f"{self.base_url()}/attachments/{channel_id}/{file_id}/{quote(name)}"
        shown: Json = {
            "id": str(file_id),
            "filename": name,
            "size": len(upload.data),
            "url": url,
            "proxy_url": url,
            "content_type": kind,
        }
        if note.get("description"):
            shown["description"] = note["description"]
        if upload.data.startswith(_PNG):
            shown["width"] = int.from_bytes(upload.data[16:20], "big")
            shown["height"] = int.from_bytes(upload.data[20:24], "big")
        return shown


def place_media(message: Json, embeds: list[Json]) -> None:
    """Put embeds into a message and resolve attachment:// references.

    A file shown by an embed is removed from the list of attachments. Raises ApiError 50035 for one that was not sent.
    """
    by_name = {a["filename"]: a for a in message["attachments"]}

    def resolve(media: Json) -> Json:
        url = str(media.get("url") or "")
        if not url.startswith("attachment://"):
            return {**media, "proxy_url": url}
        found = by_name.get(url.removeprefix("attachment://"))
        if found is None:
            raise bad_form([], "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", url=url)
        return {key: found[key] for key in _MEDIA_KEYS if key in found} | {"attachment_id": found["id"]}

    if embeds:
        message["embeds"] = [_embed(embed, resolve) for embed in embeds]
        shown = {e[key].get("attachment_id") for e in message["embeds"] for key in ("image", "thumbnail") if key in e}
        message["attachments"] = [a for a in message["attachments"] if a["id"] not in shown]
    if message["flags"] & limits.V2:
        message["components"] = [rebuild(c, lambda each: _component(each, resolve)) for c in message["components"]]


def _embed(embed: Json, resolve: Place) -> Json:
    done = {key: value for key, value in embed.items() if value is not None} | {"type": "rich"}
    if embed.get("fields"):
        done["fields"] = [{**f, "inline": bool(f.get("inline"))} for f in embed["fields"]]
    else:
        done.pop("fields", None)
    for key in ("image", "thumbnail"):
        if key in done:
            done[key] = resolve(done[key])
    return done


def _component(component: Json, resolve: Place) -> Json:
    done = {**component}
    for key in ("media", "file"):
        if isinstance(done.get(key), dict):
            done[key] = resolve(done[key])
    if isinstance(done.get("items"), list):
        done["items"] = [{**item, "media": resolve(item["media"])} for item in done["items"]]
    return done
