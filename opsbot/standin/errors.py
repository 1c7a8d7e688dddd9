"""Discord's error responses: status, code, message, and a form's `errors` tree."""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
_SNOWFLAKE_DIGITS = 20


class ApiError(Exception):
    """An error in Discord's wording.

    `errors` is the tree of a 50035, `extra` more keys of the body.
    """

    def __init__(
        self, status: int, code: int, message: str, errors: Json | None = None, extra: Json | None = None
    ) -> None:
        """`code` is Discord's JSON error code, 0 for none."""
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.extra = extra or {}

    def body(self) -> Json:
        """The JSON body Discord sends with it."""
        body: Json = {"message": self.message, "code": self.code, **self.extra}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


# (status, code, message): https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
_KNOWN = {
    "unknown_application": (404, 10002, "Unknown Application"),
    "unknown_channel": (404, 10003, "Unknown Channel"),
    "unknown_guild": (404, 10004, "Unknown Guild"),
    "unknown_member": (404, 10007, "Unknown Member"),
    "unknown_message": (404, 10008, "Unknown Message"),
    "unknown_role": (404, 10011, "Unknown Role"),
    "unknown_user": (404, 10013, "Unknown User"),
    "unknown_emoji": (400, 10014, "Unknown Emoji"),
    "unknown_webhook": (404, 10015, "Unknown Webhook"),
    "unknown_interaction": (404, 10062, "Unknown interaction"),
    "unknown_command": (404, 10063, "Unknown application command"),
    "too_many_pins": (400, 30003, "Maximum number of pins reached (250)"),
    "too_many_attachments": (400, 30015, "Maximum number of attachments in a message reached (10)"),
    "unauthorized": (401, 0, "401: Unauthorized"),
    "file_too_large": (413, 40005, "Request entity too large"),
    "already_acknowledged": (400, 40060, "Interaction has already been acknowledged."),
    "tag_required": (400, 40067, "A tag is required to create a forum post in this channel"),
    "missing_access": (403, 50001, "Missing Access"),
    "not_your_message": (403, 50005, "Cannot edit a message authored by another user"),
    "empty_message": (400, 50006, "Cannot send an empty message"),
    "not_text_channel": (400, 50008, "Cannot send messages in a non-text channel"),
    "missing_permissions": (403, 50013, "Missing Permissions"),
    "system_message": (403, 50021, "Cannot execute action on a system message"),
    "wrong_channel_type": (400, 50024, "Cannot execute action on this channel type"),
    "token_expired": (401, 50027, "Invalid Webhook Token"),
    "invalid_json": (400, 50109, "The request body contains invalid JSON."),
    "thread_archived": (400, 50083, "Thread is archived"),
    "thread_exists": (400, 160004, "A thread has already been created for this message"),
    "thread_locked": (403, 50013, "Missing Permissions"),
}


def refuse(name: str) -> ApiError:
    """Create the named error."""
    status, code, message = _KNOWN[name]
    return ApiError(status, code, message)


class FormErrors:
    """Collects the errors in a request body and raises them together as 50035."""

    def __init__(self) -> None:
        self._tree: Json = {}

    def add(self, path: Sequence[str | int], code: str, message: str) -> None:
        """Note one problem at a path such as ("embeds", 0, "title")."""
        node = self._tree
        for key in path:
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": code, "message": message})

    @property
    def empty(self) -> bool:
        """Whether there are no errors so far."""
        return not self._tree

    def raise_if_any(self) -> None:
        """Raise ApiError 400/50035 if there are errors."""
        if self._tree:
            raise ApiError(400, 50035, "Invalid Form Body", self._tree)

    def text(
        self, path: Sequence[str | int], value: object, *, most: int, least: int = 0, required: bool = False
    ) -> str | None:
        """Check a string's type and length; return it when it is one."""
        if value is None:
            if required:
                self.required(path)
            return None
        if not isinstance(value, str):
            self.add(path, "STRING_TYPE_CONVERT", f'Could not interpret "{value}" as string.')
            return None
        if required and least > 0 and not value:
            self.required(path)
        elif least > 0 and not least <= len(value) <= most:
            self.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
        elif len(value) > most:
            self.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
        return value

    def required(self, path: Sequence[str | int]) -> None:
        """Note a missing field."""
        self.add(path, "BASE_TYPE_REQUIRED", "This field is required")

    def items(self, path: Sequence[str | int], value: object, *, most: int, least: int = 0) -> list[Any]:
        """Check a list's type and length; return it (empty when it is none)."""
        if value is None:
            if least:
                self.required(path)
            return []
        if not isinstance(value, list):
            self.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
            return []
        if least and not least <= len(value) <= most:
            self.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
        elif len(value) > most:
            self.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
        return value

    def objects(self, path: Sequence[str | int], value: object, *, most: int, least: int = 0) -> list[tuple[int, Json]]:
        """Check a list of objects; return (index, object) of those that are objects."""
        found: list[tuple[int, Json]] = []
        for index, item in enumerate(self.items(path, value, most=most, least=least)):
            if isinstance(item, dict):
                found.append((index, item))
            else:
                self.add([*path, index], "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
        return found

    def snowflake(self, path: Sequence[str | int], value: object) -> int | None:
        """Check an id; return it when it is one."""
        text = str(value)
        wrong_type = isinstance(value, bool) or not isinstance(value, (int, str))
        if wrong_type or not text.isdecimal() or len(text) > _SNOWFLAKE_DIGITS:
            self.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
            return None
        return int(text)

    def integer(self, path: Sequence[str | int], value: object, *, least: int, most: int) -> int | None:
        """Check an integer and its range; return it when it is one."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
            return None
        if value < least:
            self.add(path, "NUMBER_TYPE_MIN", f"int value should be greater than or equal to {least}.")
        elif value > most:
            self.add(path, "NUMBER_TYPE_MAX", f"int value should be less than or equal to {most}.")
        return value
