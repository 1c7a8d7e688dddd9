"""A guild with one of every kind of message the page has to show, hostile text included. Plain Discord objects."""

import base64
import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

EPOCH_MS = 1_420_070_400_000
GUILD_ID = "100000000000000001"
OPS, DEPLOYS, GENERAL, CATEGORY = "100000000000000002", "100000000000000003", "100000000000000004", "100000000000000005"
ROLES = {
    "viewer": "200000000000000001",
    "operator": "200000000000000002",
    "deployer": "200000000000000003",
    "admin": "200000000000000004",
}
BOT_ROLE = "200000000000000005"
BOT_ID = "300000000000000001"
VERA, OLLI, ALICE, ADA, NOEL = (f"30000000000000001{n}" for n in range(5))

HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script> '
    "[safe](javascript:window.hacked=3) **<svg/onload=window.hacked=4>** `<b>code</b>` "
    "[https://bank.example](https://evil.example) <@999> @everyone\n"
    "```html\n<iframe src=javascript:window.hacked=5></iframe>\n```"
)


def png(width: int, height: int) -> bytes:
    """A small picture: a graph-like curve on a dark ground."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            wave = height * (0.5 + 0.25 * ((x // 9 * 7) % 5 - 2) / 4 - 0.2 * x / width)
            rows += bytes((88, 101, 242)) if abs(y - wave) < 2 else bytes((40, 44, 70) if y > wave else (27, 27, 33))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")
    )


LOG = "".join(
    f"2026-11-24T03:0{n // 6}:{n % 6}0Z {'ERROR' if n % 7 == 3 else 'INFO '} "
    f"request {n} GET /health {500 if n % 7 == 3 else 200}\n"
    for n in range(40)
)
FILES: dict[str, tuple[str, bytes]] = {
    "cpu.png": ("image/png", png(400, 140)),
    "icon.png": ("image/png", png(80, 80)),
    "api.log": ("text/plain; charset=utf-8", LOG.encode()),
    "dump.bin": ("application/octet-stream", base64.b64decode("AAECAwQ=") * 4000),
}


def user(user_id: str, name: str, *, bot: bool = False) -> Json:
    return {
        "id": user_id,
        "username": name.lower(),
        "global_name": None if bot else name,
        "bot": bot,
        "avatar": None,
        "discriminator": "0",
    }


BOT = user(BOT_ID, "opsbot", bot=True)
PEOPLE = {i: user(i, n) for i, n in ((VERA, "Vera"), (OLLI, "Olli"), (ALICE, "Alice"), (ADA, "Ada"), (NOEL, "Noel"))}


def attachment(name: str, number: int, **more: object) -> Json:
    kind, content = FILES[name]
    return {
        "id": str(900 + number),
        "filename": name,
        "size": len(content),
        "url": f"/attachments/{name}",
        "content_type": kind,
        **more,
    }


class Ids:
    """Snowflakes that tell their time, ever growing."""

    def __init__(self) -> None:
        self._last = 0

    def at(self, moment: datetime) -> str:
        self._last = max(self._last + 1, (int(moment.timestamp() * 1000) - EPOCH_MS) << 22)
        return str(self._last)


class Sample:
    """The state a snapshot is made of."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC)
        self.ids = Ids()
        self.roles = [
            {"id": GUILD_ID, "name": "@everyone", "color": 0, "position": 0},
            {"id": ROLES["viewer"], "name": "viewer", "color": 0x95A5A6, "position": 1},
            {"id": ROLES["operator"], "name": "operator", "color": 0x3498DB, "position": 2},
            {"id": ROLES["deployer"], "name": "deployer", "color": 0xE67E22, "position": 3},
            {"id": ROLES["admin"], "name": "admin", "color": 0xE74C3C, "position": 4},
            {"id": BOT_ROLE, "name": "opsbot", "color": 0x2ECC71, "position": 5, "managed": True},
        ]
        ranks = {VERA: "viewer", OLLI: "operator", ALICE: "deployer", ADA: "admin"}
        self.members: dict[str, Json] = {
            i: {
                "user": u,
                "nick": None,
                "roles": [ROLES[ranks[i]]] if i in ranks else [],
                "status": "offline" if i == NOEL else "online",
            }
            for i, u in PEOPLE.items()
        }
        self.members[BOT_ID] = {"user": BOT, "nick": None, "roles": [BOT_ROLE], "status": "online"}
        self.channels: dict[str, Json] = {
            CATEGORY: {"id": CATEGORY, "name": "Operations", "type": 4, "parent_id": None, "topic": None},
            OPS: {
                "id": OPS,
                "name": "ops",
                "type": 0,
                "parent_id": CATEGORY,
                "topic": "Deploys, alerts and orders · run **/status** first",
            },
            DEPLOYS: {"id": DEPLOYS, "name": "deploy-log", "type": 0, "parent_id": CATEGORY, "topic": None},
            GENERAL: {"id": GENERAL, "name": "general", "type": 0, "parent_id": CATEGORY, "topic": "Anything else"},
        }
        self.messages: dict[str, list[Json]] = {OPS: [], DEPLOYS: [], GENERAL: []}
        self.connected = True
        self.fill()

    def message(self, author: Json, content: str = "", *, ago: float = 0.0, channel: str = OPS, **more: Any) -> Json:
        """A message `ago` minutes old; `more` are further keys of the message object."""
        moment = self.now - timedelta(minutes=ago)
        made: Json = {
            "id": self.ids.at(moment),
            "channel_id": channel,
            "author": author,
            "content": content,
            "timestamp": moment.isoformat(),
            "edited_timestamp": None,
            "type": 0,
            "flags": 0,
            "mentions": [],
            "mention_roles": [],
            "mention_everyone": False,
            "embeds": [],
            "attachments": [],
            "components": [],
        }
        return made | more

    def post(self, author: Json, content: str = "", *, ago: float = 0.0, channel: str = OPS, **more: Any) -> Json:
        """Like message(), and kept in its channel."""
        made = self.message(author, content, ago=ago, channel=channel, **more)
        self.messages.setdefault(channel, []).append(made)
        return made

    def used(self, member: str, name: str, interaction_id: str = "1") -> Json:
        who = PEOPLE[member]
        return {
            "interaction": {"id": interaction_id, "type": 2, "name": name, "user": who},
            "interaction_metadata": {"id": interaction_id, "type": 2, "user": who},
        }

    def fill(self) -> None:
        """One of each, oldest first."""
        self.post(
            PEOPLE[ADA],
            "Welcome. `opsbot` looks after **api** here; see <#" + DEPLOYS + "> for the log.",
            ago=1600,
            channel=GENERAL,
        )
        self.post(PEOPLE[NOEL], HOSTILE, ago=1500)
        self.post(
            PEOPLE[ALICE],
            MARKDOWN.format(user=OLLI, role=ROLES["operator"], channel=GENERAL, then=int(self.now.timestamp()) - 300),
            ago=95,
        )
        self.post(
            PEOPLE[ALICE],
            "and a second line, ||a secret||, \\*not bold\\* snake_case_name",
            ago=94,
            edited_timestamp=self.now.isoformat(),
        )
        self.post(PEOPLE[OLLI], "🎉", ago=93)
        asked = self.post(PEOPLE[OLLI], "Is the api slow for anyone else?", ago=60)
        self.post(
            PEOPLE[ALICE],
            "Looks fine here",
            ago=59,
            type=19,
            message_reference={"message_id": asked["id"], "channel_id": OPS},
            referenced_message=asked,
        )
        self.post(BOT, ANSI, ago=50, flags=1 << 12)
        self.post(
            BOT,
            "",
            ago=45,
            components=BOARD,
            flags=1 << 15,
            attachments=[attachment("icon.png", 4, width=80, height=80), attachment("api.log", 5)],
        )
        alert = self.post(
            BOT,
            "🔴 **api** is down: GET /health answered 500 three times.",
            ago=40,
            embeds=[self.alert()],
            components=ALERT_BUTTONS,
            attachments=[attachment("cpu.png", 1, width=400, height=140)],
            mention_roles=[ROLES["admin"]],
        )
        self.thread(alert)
        self.post(
            BOT,
            "Everything of the last hour:",
            ago=30,
            attachments=[attachment("api.log", 2), attachment("dump.bin", 3)],
            **self.used(OLLI, "logs"),
        )
        self.post(
            BOT,
            "✅ **api** `4f2c1aa` is live, deployed by Alice in 21 s.",
            ago=8,
            embeds=[self.deploy()],
            components=DEPLOY_BUTTONS,
            edited_timestamp=self.now.isoformat(),
            **self.used(ALICE, "deploy"),
        )

    def thread(self, alert: Json) -> None:
        channel = {
            "id": alert["id"],
            "name": "api down, 24 Nov",
            "type": 11,
            "parent_id": OPS,
            "topic": None,
            "message_count": 2,
        }
        self.channels[alert["id"]] = channel
        alert["thread"] = channel
        self.post(BOT, "Restarted **api** (attempt 1 of 3).", ago=39, channel=alert["id"])
        self.post(PEOPLE[OLLI], "Looking at the database now", ago=38, channel=alert["id"])

    def alert(self) -> Json:
        then = int(self.now.timestamp()) - 2400
        return {
            "title": "api is down",
            "color": 0xED4245,
            "url": "http://example.com/incidents/7",
            "description": f"Since <t:{then}:R> (<t:{then}:T>). Restart **1 of 3** was tried.",
            "fields": [
                {"name": "Check", "value": "`http /health`", "inline": True},
                {"name": "Saw", "value": "500, three times", "inline": True},
                {"name": "Last deploy", "value": "`9be01d7` · 3 h before", "inline": True},
                {
                    "name": "Last log lines",
                    "value": "```ansi\n\x1b[31mERROR\x1b[0m pool: timeout after 3000 ms\n"
                    "\x1b[1;33mWARN\x1b[0m  retrying\n```",
                    "inline": False,
                },
            ],
            "thumbnail": {"url": "/attachments/icon.png", "width": 80, "height": 80},
            "image": {"url": "attachment://cpu.png", "width": 400, "height": 140},
            "footer": {"text": "host ops-1"},
            "timestamp": self.now.isoformat(),
        }

    def deploy(self) -> Json:
        return {
            "author": {"name": "Deploy 12 · api"},
            "color": 0x57F287,
            "title": "Serve /health from memory",
            "url": "https://example.com/c/4f2c1aa",
            "description": "✅ fetch · 0.4 s\n✅ prepare · 0.2 s\n✅ install · 12.1 s\n"
            "✅ switch · 0.0 s\n✅ restart · 0.8 s\n✅ verify · 7.5 s",
            "fields": [
                {"name": "From", "value": "`9be01d7`", "inline": True},
                {"name": "To", "value": "`4f2c1aa`", "inline": True},
                {
                    "name": "Commits",
                    "value": "[`4f2c1aa`](https://example.com/c/4f2c1aa) Serve /health from memory · *Ada*\n"
                    "[`c0ffee1`](https://example.com/c/c0ffee1) Pin the pool to 8 · *Olli*",
                },
            ],
            "footer": {"text": "asked by Alice"},
        }

    def snapshot(self, member_id: str) -> Json:
        return {
            "guild": {"id": GUILD_ID, "name": "Harbour Team"},
            "me": self.members[member_id]["user"],
            "members": list(self.members.values()),
            "roles": self.roles,
            "channels": list(self.channels.values()),
            "commands": COMMANDS,
            "messages": self.messages,
            "application": {"id": "400000000000000001", "name": "opsbot", "bot": BOT},
            "panel": PANEL,
            "connected": self.connected,
        }


MARKDOWN = (
    "# Deploy notes\n"
    "**bold** *italic* __underline__ ~~gone~~ ***both*** `code`\n"
    "> quoted, and <@{user}> with <@&{role}> in <#{channel}>\n"
    "- first\n- second\n  - nested\n1. one\n2. two\n"
    "[masked](https://example.com/a) and https://example.com/b?x=(1).\n"
    "It began <t:{then}:R>, at <t:{then}:t>; unknown <@123>.\n"
    "```diff\n- old line\n+ new line\n```\n"
    "```py\ndef answer() -> int:  # the answer\n    return 42\n```\n"
    "-# small print"
)
ANSI = (
    "Checks of **api**\n```ansi\n\x1b[1;32mOK  \x1b[0m process  pid 4122\n\x1b[32mOK  \x1b[0m tcp      127.0.0.1:3003\n"
    "\x1b[31mFAIL\x1b[0m http     \x1b[4mGET /health\x1b[0m 500\n"
    "\x1b[37;41m hung \x1b[0m \x1b[34mblue\x1b[0m \x1b[35mpink\x1b[0m \x1b[36mcyan\x1b[0m\n```"
)


def button(label: str, custom_id: str, style: int = 2, **more: object) -> Json:
    return {"type": 2, "label": label, "custom_id": custom_id, "style": style, **more}


ALERT_BUTTONS = [
    {
        "type": 1,
        "components": [
            button("Restart", "ok", 1),
            button("Roll back", "fail", 4, emoji={"name": "⏪"}),
            button("Silence", "ask"),
            {"type": 2, "style": 5, "label": "Runbook", "url": "https://example.com/runbook"},
            button("Gone", "gone", 2, disabled=True),
        ],
    },
    {
        "type": 1,
        "components": [
            {
                "type": 3,
                "custom_id": "pick",
                "placeholder": "Show the log of…",
                "options": [
                    {"label": "api", "value": "api", "description": "the Python API", "emoji": {"name": "🐍"}},
                    {"label": "bot", "value": "bot", "description": "the Node.js bot"},
                ],
            }
        ],
    },
]
DEPLOY_BUTTONS = [
    {"type": 1, "components": [button("Roll back", "why", 4), button("Logs", "logs"), button("Retry", "retry", 3)]}
]
BOARD = [
    {
        "type": 17,
        "accent_color": 0x57F287,
        "components": [
            {"type": 10, "content": "## Services\nupdated by itself"},
            {"type": 14, "divider": True, "spacing": 1},
            {
                "type": 9,
                "components": [{"type": 10, "content": "🟢 **api** · `4f2c1aa`\n-# 38 MB · 0.4 % CPU · up 3 h"}],
                "accessory": button("Restart", "restart-api"),
            },
            {
                "type": 9,
                "components": [{"type": 10, "content": "🟢 **voice-meeting-bot** · `88ab310`"}],
                "accessory": {"type": 11, "media": {"url": "attachment://icon.png"}},
            },
            {
                "type": 12,
                "items": [
                    {"media": {"url": "attachment://icon.png"}},
                    {"media": {"url": "attachment://icon.png"}, "description": "twice"},
                ],
            },
            {"type": 13, "file": {"url": "attachment://api.log"}},
            {"type": 1, "components": [button("Refresh", "ok", 1)]},
        ],
    },
]
SERVICE = {"name": "service", "description": "Which service", "type": 3, "required": True, "autocomplete": True}
COMMANDS: list[Json] = [
    {
        "id": "501",
        "name": "deploy",
        "description": "Deploy a service",
        "type": 1,
        "options": [SERVICE, {"name": "ref", "description": "Branch, tag or commit", "type": 3}],
    },
    {
        "id": "502",
        "name": "status",
        "description": "How the services are",
        "type": 1,
        "options": [{**SERVICE, "required": False}],
    },
    {
        "id": "503",
        "name": "logs",
        "description": "The last lines of a service's log",
        "type": 1,
        "options": [
            SERVICE,
            {"name": "lines", "description": "How many", "type": 4, "min_value": 1, "max_value": 1000},
            {
                "name": "level",
                "description": "Least level",
                "type": 3,
                "choices": [{"name": "warning", "value": "warning"}, {"name": "error", "value": "error"}],
            },
            {"name": "grep", "description": "Only lines that match", "type": 3, "max_length": 10},
        ],
    },
    {"id": "504", "name": "slow", "description": "Answers nothing", "type": 1, "options": []},
    {
        "id": "505",
        "name": "silence",
        "description": "No alerts for a while",
        "type": 1,
        "options": [{**SERVICE, "required": False}],
    },
    {
        "id": "506",
        "name": "audit",
        "description": "Who did what",
        "type": 1,
        "options": [
            {"name": "member", "description": "Of whom", "type": 6},
            {"name": "all", "description": "Everything", "type": 5},
            {"name": "role", "description": "Of which role", "type": 8},
            {"name": "channel", "description": "Where", "type": 7},
            {"name": "share", "description": "0 to 1", "type": 10, "min_value": 0, "max_value": 1},
        ],
    },
    {
        "id": "507",
        "name": "release",
        "description": "Releases",
        "type": 1,
        "options": [
            {"name": "list", "description": "All kept releases", "type": 1, "options": []},
            {
                "name": "pin",
                "description": "Keep one",
                "type": 1,
                "options": [{"name": "id", "description": "Which", "type": 3, "required": True}],
            },
        ],
    },
    {"id": "508", "name": "restart", "description": "Restart a service", "type": 1, "options": [SERVICE]},
    {
        "id": "509",
        "name": "rollback",
        "description": "Go back to an earlier release",
        "type": 1,
        "options": [
            SERVICE,
            {"name": "release", "description": "Default: the good one before", "type": 3, "autocomplete": True},
        ],
    },
]
MODAL: Json = {
    "custom_id": "silence:api",
    "title": "Silence api",
    "components": [
        {
            "type": 1,
            "components": [
                {
                    "type": 4,
                    "custom_id": "for",
                    "style": 1,
                    "label": "For how long",
                    "min_length": 2,
                    "max_length": 10,
                    "required": True,
                    "placeholder": "30m",
                }
            ],
        },
        {
            "type": 18,
            "label": "Why",
            "description": "Everyone can read it in the audit log.",
            "component": {"type": 4, "custom_id": "reason", "style": 2, "max_length": 200, "required": False},
        },
        {
            "type": 18,
            "label": "What",
            "component": {
                "type": 3,
                "custom_id": "what",
                "options": [
                    {"label": "Alerts", "value": "alerts", "default": True},
                    {"label": "Deploy news", "value": "deploys"},
                ],
                "max_values": 2,
            },
        },
    ],
}
PANEL: list[Json] = [
    {"id": i, "group": g, "label": label, "hint": hint, "danger": danger, "disabled": False}
    for i, g, label, hint, danger in (
        ("push-good", "Push a commit", "A good one", "deployed, verified, live", False),
        ("push-install", "Push a commit", "That fails to install", "nothing live changes", True),
        ("push-syntax", "Push a commit", "With a syntax error", "undone and quarantined", True),
        ("push-500", "Push a commit", "That answers 500", "verification sees it", True),
        ("push-dies", "Push a commit", "That dies after a few seconds", "the soak time sees it", True),
        ("kill", "Break the service", "Kill the process", "SIGKILL", True),
        ("hang", "Break the service", "Hang it", "SIGSTOP: alive, but deaf", True),
        ("errors", "Break the service", "Make it answer 500", "until it is restarted", True),
        ("leak", "Break the service", "Make it leak memory", "5 MB a second", True),
        ("away", "Break Discord", "Take Discord away for a minute", "alerts wait, each is told once", True),
    )
]
