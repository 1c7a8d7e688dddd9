"""The reference of all keys, written from the tables they are checked by: `python -m opsbot.config_file.reference`."""

import sys

from opsbot.config_file.keys import ROOT
from opsbot.config_file.schema import Key, Table, header, walk

_INTRODUCTION = """\
# Configuration

<!-- Written by `python -m opsbot.config_file.reference > docs/configuration.md`; a test compares the two. -->

opsbot reads one file, in [TOML](https://toml.io/en/v1.1.0). `opsbot init` writes a first one by asking,
[`config.toml.example`](../config.toml.example) is a whole one with reasons, and `opsbot check -c FILE` prints all that
is wrong with yours, each with its line:

```
config.toml:12: services.api.source.poll: found the number 300 without a unit; write the unit, for example "300s"
```

It exits with 0 where all is well, with 2 where anything is not. `opsbot run` refuses to start with a file that has
problems. The first element of an array is counted as `[1]`.

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

No secret stands in this file. Each is named by the environment variable that holds it (`token_env`) or by a file that
holds nothing else (`token_file`), never both. A file's name without a slash is a
[systemd credential](https://systemd.io/CREDENTIALS/). `opsbot check` reports what looks like a secret anywhere in the
file, comments included, and never prints it. The secrets of a supervised service belong into its `environment_file`.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(path, table) for path, table in walk(ROOT) if table.keys)])


def _section(path: str, table: Table) -> str:
    title = f"## `{header(path, table)}`" if path else "## At the top of the file"
    needed = " Required." if table.required else ""
    rows = [_row(table, key) for key in table.keys]
    return "\n".join(
        [title, "", table.doc + needed, "", "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _row(table: Table, key: Key) -> str:
    default = table.default_text(key)
    first = "required" if key.required else f"`{default}`" if default else key.unset
    kinds = f" Only for {' and '.join(f'`{kind}`' for kind in key.only)} checks." if key.only else ""
    cells = (f"`{key.name}`", key.kind.what, first, key.doc + kinds)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(reference())
