"""Which native modules a changed lock file touches, in the formats of four package managers."""

import json

import pytest

from opsbot.core.native import NATIVE, native_changes


def npm(**versions: str) -> str:
    """A package-lock.json as npm 7 and later write it."""
    names = {name.replace("__", "/"): version for name, version in versions.items()}
    packages = {
        f"node_modules/{name}": {
            "version": version,
            "resolved": f"https://registry.example.org/{name}/-/{name.rpartition('/')[2]}-{version}.tgz",
            "integrity": f"sha512-{name}{version}",
            "dependencies": {"node-addon-api": "^5.0.0"},
        }
        for name, version in names.items()
    }
    root = {"": {"name": "bot", "dependencies": {name: f"^{version}" for name, version in names.items()}}}
    return json.dumps({"name": "bot", "lockfileVersion": 3, "packages": {**root, **packages}}, indent=2)


def test_a_new_version_of_a_native_module_is_named() -> None:
    old = npm(**{"@discordjs/opus": "0.9.0", "discord.js": "14.1.0"})
    assert native_changes(old, npm(**{"@discordjs/opus": "0.10.0", "discord.js": "14.1.0"})) == ("@discordjs/opus",)
    assert native_changes(old, npm(**{"@discordjs/opus": "0.9.0", "discord.js": "14.2.0"})) == ()
    assert native_changes(old, npm(**{"discord.js": "14.1.0"})) == ("@discordjs/opus",)
    assert native_changes(old, old) == ()


def test_a_module_that_comes_or_goes_is_named_and_its_neighbours_are_not() -> None:
    old = npm(**{"better-sqlite3": "9.0.0", "left-pad": "1.0.0"})
    new = npm(**{"better-sqlite3": "9.0.0", "bcrypt": "5.1.0", "left-pad": "1.0.0", "sharp": "0.33.0"})
    assert native_changes(old, new) == ("bcrypt", "sharp")
    assert native_changes("", new) == ("bcrypt", "better-sqlite3", "sharp")


def test_a_change_that_names_the_module_nowhere_on_its_line_is_found() -> None:
    old = '{\n  "node_modules/canvas": {\n    "version": "2.0.0",\n    "integrity": "a"\n  },\n  "x": 1\n}\n'
    assert native_changes(old, old.replace('"a"', '"b"')) == ("canvas",)
    assert native_changes(old, old.replace('"x": 1', '"x": 2')) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"@types/bcrypt": "1"', '"@types/bcrypt": "2"'),
        ('"bcryptjs": "1"', '"bcryptjs": "2"'),
        ('"sharp-cli": "1"', '"sharp-cli": "2"'),
        ('"@img/sharp-linux-x64": "1"', '"@img/sharp-linux-x64": "2"'),
        ('"my-canvas": "1"', '"my-canvas": "2"'),
        ('"canvas-confetti": "1"', '"canvas-confetti": "2"'),
    ],
)
def test_a_package_with_a_longer_name_is_another_one(old: str, new: str) -> None:
    assert native_changes(old, new) == ()


@pytest.mark.parametrize(
    "lines",
    [
        'sodium-native@^4.0.0:\n  version "{v}"\n  resolved "https://registry.yarnpkg.com/x/-/x-{v}.tgz"\n',
        '"sodium-native@npm:^4.0.0":\n  version: {v}\n  checksum: abc\n',
        "packages:\n  /sodium-native@{v}:\n    resolution: {{integrity: sha512}}\n",
        "packages:\n  /sodium-native/{v}:\n    resolution: {{integrity: sha512}}\n",
        "packages:\n  'sodium-native@{v}':\n    resolution: x\n",
        '    "sodium-native": ["sodium-native@{v}", "", {{}}, "sha512"],\n',
        '{{\n  "dependencies": {{\n    "sodium-native": "^{v}"\n  }}\n}}\n',
        '{{"dependencies":{{"sodium-native":"^{v}"}}}}',
    ],
)
def test_yarn_pnpm_bun_and_npm_are_read_alike(lines: str) -> None:
    assert native_changes(lines.format(v="4.0.0"), lines.format(v="4.0.1")) == ("sodium-native",)


def test_entries_in_another_order_are_no_change() -> None:
    first, second = "sharp@1:\n  version 1\n", "bcrypt@1:\n  version 2\n"
    assert native_changes(first + second, second + first) == ()
    assert sorted(NATIVE) == list(NATIVE)
