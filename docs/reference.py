"""The reference of all keys, derived from their declarations: `python -m docs.reference`."""

import ast
import inspect
import sys
from datetime import time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, cast

from opsbot.config_file.kinds import quoted
from opsbot.config_file.schema import ABSENT, ROOT, Table, TableKey, header, walk
from opsbot.core.amounts import show_duration, show_size
from opsbot.core.keys import Format, Reload

_TAKEN_UP = {
    Reload.AT_ONCE: "",
    Reload.AT_NEXT_START: " A change takes effect when the service is started next.",
    Reload.NEVER: " A reload cannot change it.",
}

_INTRODUCTION = """\
# Configuration

<!-- Written by `python -m docs.reference > docs/configuration.md`; a test compares the two. -->

opsbot reads one file, in [TOML](https://toml.io/en/v1.1.0). `opsbot init` writes a first one by asking,
[`config.toml.example`](../config.toml.example) is a whole one with reasons, and `opsbot check -c FILE` prints all that
is wrong with yours, each with its line:

```
config.toml:12: services.api.source.poll: found the number 300 without a unit; write the unit, for example "300s"
```

It exits with 0 if the file is valid, with 2 if not. `opsbot run` refuses to start with an invalid file. The first
element of an array is counted as `[1]`.

## How values are written

| what | how |
|---|---|
| durations | `"500ms"`, `"90s"`, `"5m"`, `"1h30m"`, `"7d"`: whole numbers, greatest unit first |
| sizes | `"512KiB"`, `"50MiB"`, `"2GiB"` (powers of 1024), or `"50MB"` (powers of 1000) |
| Discord ids | numbers of 17 to 19 digits, without quotes; in `[roles]` quotes are allowed |
| commands | an array of the command and its arguments; there is no shell |
| paths | absolute where they name something on this machine; relative where they name something in a release |
| service names | 1 to 64 small letters, digits, `.`, `_` and `-`, the first a letter or digit |

## Secrets

The file holds no secrets. Each is named by the environment variable that holds it (`token_env`) or by a file that
holds nothing else (`token_file`), never both. A file's name without a slash is a
[systemd credential](https://systemd.io/CREDENTIALS/). `opsbot check` reports what looks like a secret anywhere in the
file, comments included, and never prints it. The secrets of a supervised service belong in its `environment_file`.
"""


def reference() -> str:
    return "\n".join([_INTRODUCTION, *(_section(path, table) for path, table in walk(ROOT) if table.keys)])


@cache
def sentences(of: type) -> dict[str, str]:
    """The docstrings below the fields of a value, and of its properties: what its keys mean."""
    body = cast("ast.ClassDef", ast.parse(inspect.getsource(of)).body[0]).body
    said = {node.name: ast.get_docstring(node) or "" for node in body if isinstance(node, ast.FunctionDef)}
    for node, below in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(below, ast.Expr):
            said[node.target.id] = ast.literal_eval(below.value)
    return {name: " ".join(text.split()) for name, text in said.items()}


def default_text(key: TableKey) -> str:
    """The default as TOML; "" where there is none that could be written down."""
    return "" if key.unset or key.default is ABSENT or key.default is None else toml(key.default, key.declared.format)


def toml(value: Any, form: Format | None = None) -> str:
    """A value of the configuration as the file would say it. form: of its key."""
    match value:
        case (None, 0) if form is Format.LISTEN:
            return '"off"'
        case (str(host), int(port)):
            return quoted(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        case (int(low), int(high)) if form is Format.STATUSES:
            return str(low) if low == high else quoted(f"{low}-{high}")
        case (one,) if form is Format.STATUSES:
            return toml(one, form)
        case bool():
            return str(value).lower()
        case int() | float():
            return quoted(show_size(int(value))) if form is Format.SIZE else str(value)
        case timedelta():
            return quoted(show_duration(value))
        case time():
            return quoted(f"{value:%H:%M}")
        case frozenset() | tuple() | list():
            each = sorted(value) if isinstance(value, frozenset) else value
            return "[" + ", ".join(toml(one, form) for one in each) + "]"
        case dict():
            return (
                "{ " + ", ".join(f"{quoted(key)} = {toml(one)}" for key, one in value.items()) + " }" if value else "{}"
            )
    return quoted(str(value))


def _section(path: str, table: Table) -> str:
    title = f"## `{header(path, table)}`" if path else "## At the top of the file"
    said = " ".join((table.of.__doc__ or "").split()) if path else "Keys that stand before the first table."
    needed = " Required." if table.required else ""
    rows = [_row(key, sentences(key.inline[1] if key.inline else table.of)[key.field]) for key in table.keys]
    return "\n".join(
        [title, "", said + needed, "", "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _row(key: TableKey, said: str) -> str:
    default = default_text(key)
    first = "required" if key.required else f"`{default}`" if default else key.unset
    said = _of_secret(key, said) if key.part else said
    only = f" Only for `{key.declared.only}` checks." if key.declared.only else ""
    cells = (f"`{key.name}`", key.kind.what, first, said + only + _TAKEN_UP[key.declared.reload])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _of_secret(key: TableKey, said: str) -> str:
    secret, name = said[:1].lower() + said[1:].rstrip("."), key.name.removesuffix(f"_{key.part}")
    if key.part == "file":
        return (
            f"The file that holds {secret}, alone. A name without a slash is looked for in `$CREDENTIALS_DIRECTORY`, "
            "where systemd puts what `LoadCredential=` names."
        )
    if key.declared.unset:
        return f"The environment variable that holds {secret}. At most one of `{name}_env` and `{name}_file`."
    return (
        f"The environment variable that holds {secret}. One of the two, `{name}_env` or `{name}_file`, must be given; "
        "the secret itself is never written in this file."
    )


if __name__ == "__main__":
    sys.stdout.write(reference())
