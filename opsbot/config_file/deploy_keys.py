"""The keys of how a service is deployed: where from, what is installed, what is waited for before the switch."""

from opsbot import config
from opsbot.config_file import kinds, names, places
from opsbot.config_file.kinds import DAY, HOUR, MINUTE, SECOND
from opsbot.config_file.schema import Form, Key, Table, secret_keys

SOURCE = Table(
    "source",
    "The git repository the service is deployed from. Without it opsbot watches and restarts the service, and "
    "deploys nothing.",
    (
        Key(
            "repository",
            places.repository(),
            "Where git fetches from: `https://…`, `ssh://…`, `user@host:path`, or an absolute path on this machine. "
            "No user name or password in it.",
            required=True,
        ),
        Key("branch", names.branch(), "The branch that is deployed."),
        Key(
            "directory",
            places.directory("/srv/voice-meeting-bot"),
            "The folder of this service: `releases/`, `current` and `shared/` live here; with `in-place`, the checkout "
            "itself. Each service needs its own.",
            required=True,
        ),
        Key(
            "strategy",
            kinds.choice(config.Strategy),
            '`"releases"`: each deploy gets a folder of its own and `current` is switched to it at once, so '
            'nothing live changes until all is ready. `"in-place"`: an existing checkout, cloned by you, is updated '
            "where it lies: looked at first (what is changed or in the way is named, nothing touched), then checked "
            "out, never merged, and installed there. What git does not track is left alone. While it is installed the "
            "live service runs in changed files: prefer releases.",
        ),
        Key(
            "poll",
            kinds.duration(5 * SECOND, 7 * DAY, "5m"),
            "How often the branch is looked at. Five minutes is what the old cron job did; a webhook makes it instant.",
        ),
        Key(
            "auto",
            kinds.boolean(),
            "Deploy what arrives on the branch. `false`: announce it, and deploy on command only.",
        ),
        Key(
            "keep",
            kinds.integer(2, 100, 5, "a number of releases"),
            "Releases kept on disk: the live one, the one to fall back on, and a few more to go back to.",
        ),
        Key(
            "shared",
            kinds.listed(places.inside("the release", "node-bot/.env"), "an array of paths", '["node-bot/.env"]'),
            "Files and folders that outlive releases: kept in `shared/`, linked into each release. Not needed with "
            "`in-place`, where they stay in the checkout.",
        ),
        Key(
            "ignore",
            kinds.listed(
                kinds.text("a pattern", '"docs/**"', most=500), "an array of patterns", '["docs/**", "*.md"]', once=True
            ),
            "Commits that touch only files matching these patterns are noted, not deployed.",
        ),
        Key(
            "ask_when_changed",
            kinds.listed(
                kinds.text("a pattern", '"node-bot/package-lock.json"', most=500),
                "an array of patterns",
                '["node-bot/package.json", "node-bot/package-lock.json"]',
                once=True,
            ),
            "What touches a file matching one of these, patterns like those of `ignore`, is announced and deployed "
            "when a person says so: changed dependencies deserve a human look, native modules above all.",
        ),
        Key(
            "timeout",
            kinds.duration(SECOND, HOUR, "2m"),
            "For each git command that talks to the remote. Two minutes fetch a large repository over a slow line.",
        ),
        *secret_keys(
            "token",
            "the password or access token for an http(s) repository",
            "VOICE_MEETING_GIT_TOKEN",
            "/etc/opsbot/git-token",
            optional="no token is sent: enough for a public repository",
        ),
        Key(
            "username",
            kinds.text("a user name", '"x-access-token"', most=200),
            "Sent with the token. GitHub takes the default, GitLab wants `oauth2` or the deploy token's own user name.",
        ),
        Key(
            "ssh_key",
            places.absolute_path("/etc/opsbot/deploy-key"),
            "The private key file for an ssh repository.",
            unset="ssh's own configuration decides",
        ),
        *secret_keys(
            "hook_secret",
            "the secret shared with the forge, for its pushes",
            "VOICE_MEETING_HOOK_SECRET",
            "/etc/opsbot/hook-secret",
            optional="pushes for this service are refused",
        ),
    ),
    of=(config.Source,),
)

INSTALL = Table(
    "install",
    "Commands run one after the other in the new release, before anything live changes. One that fails, fails the "
    "deploy.",
    (
        Key(
            "run",
            kinds.command('["npm", "ci", "--omit=dev"]'),
            "The command and its arguments. No shell is involved.",
            required=True,
        ),
        Key("directory", places.inside("the release", "node-bot"), "Where it runs, relative to the release."),
        Key(
            "when_changed",
            kinds.listed(
                places.inside("the release", "node-bot/package-lock.json"),
                "an array of paths",
                '["node-bot/package-lock.json"]',
                once=True,
            ),
            "Files, relative to the release. Where none of them changed since the live release, the step's result "
            "is copied from there and the command is not run. Empty: it always runs.",
        ),
        Key(
            "timeout",
            kinds.duration(SECOND, 6 * HOUR, "10m"),
            "The step and all it started are killed after this. Ten minutes let native modules compile on a small "
            "machine.",
        ),
        Key(
            "keep",
            kinds.listed(
                places.inside("the step's directory", "node_modules"),
                "an array of paths",
                '["node_modules"]',
                once=True,
            ),
            "What the command makes, relative to `directory`: this is what is copied when it is not run again. "
            "Empty: `node_modules` and `vendor`, those that are there. A `.venv` only where it is named here. Where "
            "none of it is there, the command runs all the same, and the card says so.",
        ),
    ),
    form=Form.ARRAY,
    of=(config.InstallStep,),
)

DRAIN = Table(
    "drain",
    "What a deploy waits for, once all is prepared, before it replaces a release that runs and is well. The card says "
    "what it waits for, and has a button that ends the wait. An undo waits for nothing, nor does the recovery of a "
    "service that is not well; that of one which only takes too much memory does.",
    (
        Key(
            "voice",
            kinds.boolean(),
            "Wait while the bot sits in a voice channel with people: a restart would throw it out of their meeting.",
        ),
        Key(
            "user",
            names.snowflake("the user id of the service's bot"),
            "The user id of the service's bot. Right-click the bot in the member list > Copy User ID.",
            required=True,
        ),
        Key(
            "limit",
            kinds.duration(MINUTE, DAY, "30m"),
            "The longest wait; then the release is replaced all the same. Half an hour sees most meetings out, and "
            "keeps a fix from waiting for a bot that somebody forgot in a channel.",
        ),
    ),
    of=(config.Drain,),
)
