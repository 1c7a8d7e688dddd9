"""Every sentence that opsbot can say of these worlds, by where it is said."""
# ruff: noqa: E501 - a sentence is a line

from collections.abc import Mapping, Sequence

from tests.oracle.grammar import Grammar

EXIT = {"status": "exit {status:n}", "signal": "killed by {signal:word}"}
SEEN = {
    "status": ["answered {status:n}, expected 200-399", "answered {status:n}"],
    "no_answer": "no answer from 127.0.0.1:8080 within {limit:length}",
    "refused": "connection refused",
    "closed": "nothing listens on port 8080",
    "open": "port 8080 is open",
    "memory": "process {pid:n} and its children use {used:size} of memory, more than {most:size}",
    "runs": "process {pid:n} is running",
    "activity": ["{activity:word}: {exit:exit}", "{activity:word}"],
}
CAUSE = {
    "died": "process died[[ ({exit:exit})]]",
    "gave_up": "process died repeatedly and is not started again[[ ({exit:exit})]]",
    "alternates": "{label:label} passes and fails by turns[[: {seen:seen}]]",
    "check": "{label:label}: {seen:seen}[[ ({failed:n} of {looks:n} failed)]]",
}
LABEL = {"check": "{kind:kind} check"}
KIND = {"kind": ["HTTP", "TCP", "Process"]}
TRIED = {
    "three": "{a:trial}, {b:trial} and {c:trial}",
    "two": "{a:trial} and {b:trial}",
    "one": "{a:trial}",
}
TRIAL = {
    "restarts": ["{count:n} restarts", "{count:n} restart"],
    "rollbacks": ["{count:n} rollbacks", "{count:n} rollback"],
    "by_manager": ["{count:n} starts by its manager", "{count:n} start by its manager"],
}
WHY = {
    "manager_gave_up": "its manager gave up starting it[[, and {tried:tried} did not help]]",
    "not_helped": "{tried:tried} did not help",
    "nothing_left": "nothing is left to try",
    "budget": "{count:n} restarts within {limit:length} use up the budget[[ (in this incident: {tried:tried})]]",
    "crash_loop": [
        "{count:n} crashes[[ and {restarts:n} restarts by opsbot]][[ and {restarts1:n} restart by opsbot]] within {limit:length}",
        "{count:n} crash[[ and {restarts:n} restarts by opsbot]][[ and {restarts1:n} restart by opsbot]] within {limit:length}",
    ],
}
PHASE = {
    "live": ["live", "succeeded"],
    "undone": "rolled back",
    "failed": "failed",
    "stuck": "needs attention",
    "skipped": "skipped",
    "replaced": "superseded",
    "going": ["queued", "fetching", "building", "waiting", "switching", "restarting", "verifying", "rolling back"],
}
ENDED = {"ended": ["deploy {deployment:n} ended: {phase:phase}", "rollback {deployment:n} ended: {phase:phase}"]}
EVENT = {
    "died": "process died again[[ ({exit:exit})]]",
    "gave_up": "its manager does not start it again[[ ({exit:exit})]]",
    "by_manager": "started again by its manager (pid {pid:n})",
    "outside": "started from outside opsbot (pid {pid:n})",
    "unseen": "started while opsbot was not running",
    "check_down": "{label:label} is down[[ {again:again}]]: {seen:seen}",
    "check_up": "{label:label} passes again: {seen:seen}",
    "restarting": "restarting ({attempt:n} of {of:n})",
    "rolling_back": "rolling back[[ to {release:release}]]",
    "rollback_refused": "no rollback: {text:text}",
    "escalated": ["automatic recovery gave up: {why:why}"],
    "restarted_by": "restarted by {who:who}",
    "resumed_by": "recovery resumed by {who:who}",
    "deployment": "{ended:ended}",
    "acknowledged": "acknowledged by {who:who}: {reason:text}",
    "void": "it got worse, the acknowledgement is cleared: {event:event1}",
    "unacknowledged": "nobody acknowledged it in time: escalated",
    "silenced": "silenced by {who:who}: {reason:text}, until {until:when}",
    "flapping": "recovered, and is flapping: {count:n} changes since {since:when}",
    "stays_down": "down for {calm:length} without a change: no longer flapping, after {count:n} changes",
    "unseen_before": "opsbot was not running for {away:length} before it saw this: it may have begun then",
    "cause": "{cause:cause}",
}
RESOLUTION = {
    "opsbot": "restarted by opsbot",
    "by_manager": "started again by its manager (pid {pid:n})",
    "outside": "started from outside opsbot (pid {pid:n})",
    "unseen": "started while opsbot was not running",
    "person": "restarted by {who:who}",
    "deployment": "{ended:ended}",
    "stopped": "stopped from outside opsbot",
    "alone": "without action by opsbot",
    "later": "what opsbot tried did not help; it recovered later",
    "calm": "no change for {calm:length}",
    "flaps": "it flaps",
}
DOING = {
    "attention": "Needs attention",
    "restarting": "Restarting ({attempt:n} of {of:n})",
    "rolling_back": "Rolling back[[ to {release:release}]]",
}
SAID = {
    "flapping": "api is flapping, {count:n} changes in {span:length}: {cause:cause}",
    "down": "api is DOWN: {cause:cause}",
}
HEADLINE = {
    "flapping": "🟠 api is flapping, {count:n} changes in {span:length}: {cause:cause} since {since:t}.[[ {doing:doing}.]]",
    "down": "🔴 api is DOWN: {cause:cause} since {since:t}.[[ {doing:doing}.]]",
    "was_flapping": "🟢 api was flapping, {count:n} changes in {span:length}, downtime {down:length}: {cause:cause}.",
    "was_down": "🟢 api was down for {down:length}: {cause:cause}.",
    "stopped": "⚪ api was stopped while it was down, after {down:length}: {cause:cause}.",
    "recovered": "🟢 api recovered after {down:length}[[: {resolution:resolution}]].",
    "stable": "🟢 api is stable again after {count:n} changes in {span:length}, downtime {down:length}[[: {resolution:resolution}]].",
    "stopped_end": "⚪ api was stopped while it was down, after {down:length}[[: {resolution:resolution}]].",
    "call": "🚨 api needs attention: {event:event} ({cause:cause}).",
    "call_over": "⚪ api needed attention: {event:event} ({cause:cause}). {end:word} at {at:t}.",
    "worse": "🔺 api got worse: {event:event}. Its acknowledgement is cleared.",
    "reminder": "⏰ {said:said}. Not acknowledged after {span:length}.",
    "escalation": "📣 {said:said}. Not acknowledged after {span:length}.",
    "line": ["{sign:sign} {at:t} {event:event}"],
    "stopped_by_hand": "⚠️ api was stopped by hand. It is left alone until somebody starts it.",
    "update": "🆕 api: new commit {commit:sha} on main, not deployed: {why:update}",
    "known": "↩️ api: {commit:sha} on main {before:before}; not deployed again: {why:update}",
    "known_info": "ℹ️ api: {commit:sha} on main {before:before}; not deployed again: {why:update}",
    "late": "-# sent {late:length} late[[: {why:text}]]",
    "was_silenced": "-# was silenced until {until:t}",
    "resolved_at": "Resolved at {at:t}.",
    "taken": "👀 Acknowledged by {who:who} at {at:t}.",
    "deployment": "{sentence:sentence}",
}
SIGN = {"sign": ["🔴", "🟢", "🟠", "▫️", "🚨", "👀", "⚠️", "📣", "🔕", "🧵"]}
BEFORE = {
    "failed": "failed on {at:t}",
    "rolled_back": "was rolled back on {at:t}",
    "was_live": "was live until {at:t}",
}
UPDATE = {
    "held": "deploys are paused by {who:who}[[: {reason:text}]]",
    "not_newer": "automatic deploys are paused after a rollback, until a newer commit is pushed or /resume is used",
    "rolled_back": "it was rolled back; automatic deploys are paused until a newer commit is pushed or /resume is used",
    "quarantined": "blocked since it failed on {at:t}; /resume lifts this, /deploy tries it again",
    "by_hand": "{who:who} deployed another commit by hand since; it stays until the branch moves",
    "stopped": "api was stopped by hand; a deploy by hand starts it",
}
TO = {"sha": "{commit:sha}", "branch": "`the tracked branch`", "release": "`{release:release}`"}
BY = {
    "person": "requested by {who:who} (discord)",
    "opsbot": "triggered by opsbot ({origin:word})",
}
BY_CAPITAL = {
    "person": "Requested by {who:who} (discord)",
    "opsbot": "Triggered by opsbot ({origin:word})",
}
WHERE = {"where": ["fetch", "preparation", "installation", "wait", "switch", "restart", "verification"]}
SENTENCE = {
    "rolled_back_by": "↩️ api was rolled back to {to:to} after {took:length}, {by:by}.",
    "runs": "✅ api runs {to:to} after {took:length}, {by:by}.",
    "failed": "❌ api: [[{where:where} of ]]{to:to} failed (deployment {number:n}); nothing live was changed.",
    "undone": "↩️ api: [[{where:where} of ]]{to:to} failed (deployment {number:n}); rolled back to {back:sha}.",
    "undone_stopped": "↩️ api: [[{where:where} of ]]{to:to} failed (deployment {number:n}); the service is stopped.",
    "stuck": "🚨 api: [[{where:where} of ]]{to:to} failed (deployment {number:n}), and so did the rollback. Needs attention.",
    "skipped": "⏭️ api: deployment {number:n} of {to:to} was skipped: {why:text}.",
    "going": [
        "🔵 Deploying api to {to:to}: {phase:phase}. {by:by_capital}.",
        "🔵 Rolling back api to {to:to}: {phase:phase}. {by:by_capital}.",
    ],
}
MISSING = {
    "check": "{check:word}: {seen:seen}",
    "no_answer": "{check:word}: no answer yet",
    "not_running": "it is not running",
    "several": ["{a:missing1}; {b:missing1}", "{a:missing1}; {b:missing1}; {c:missing1}"],
}
MISSING1 = {"check": "{check:word}: {seen:seen}", "no_answer": "{check:word}: no answer yet"}
VERIFY = {
    "passed": ["all {count:n} checks passed[[ for {soak:length}]]"],
    "waiting_for": "waiting for {missing:missing}",
    "soaking": "all checks pass; watching for {soak:length}",
    "doubt": "a check failed meanwhile: {missing:missing}",
    "failed_again": [
        "{check:word} passed at first, then failed {count:n} times in a row: {seen:seen}",
        "{check:word} passed at first, then failed once: {seen:seen}",
    ],
    "not_healthy": "not healthy {limit:length} after its start: {missing:missing}",
    "died": "the service died[[ {after:length} after its start]][[ ({exit:exit})]]",
    "stopped": "the service was stopped by hand[[ {after:length} after its start]]",
    "others": "the service was restarted by somebody else[[ {after:length} after its start]][[ ({exit:exit})]]",
    "interrupted": ["opsbot was restarted while {phase:word}", "opsbot was stopped while {phase:word}"],
    "interrupted_note": "opsbot was restarted meanwhile",
}
NOTE = {
    "rolled_back": "{verify:verify}; rolled back to {back:sha}.[[ Retrying at {at:t}.]]",
    "not_rolled_back": [
        "{verify:verify}; no earlier release passed its checks (tried: {tried:shas}). Needs attention.",
        "{verify:verify}; no earlier release is left. Needs attention.",
    ],
    "failed": "{verify:verify}.[[ Retrying at {at:t}.]]",
    "skipped": "{text:text}",
}
SHAS = {"several": ["{a:sha}", "{a:sha}, {b:sha}", "{a:sha}, {b:sha}, {c:sha}", "{a:sha}, {b:sha}, {c:sha}, {d:sha}"]}
DLINE = {
    "line": [
        "{sign:dsign} {what:what} {number:n} {commit:sha} {phase:phase} {at:t} by {who:who}[[: {note:note}]]",
        "{sign:dsign} {what:what} {number:n} `{release:release}` {phase:phase} {at:t} by {who:who}[[: {note:note}]]",
        "{sign:dsign} {what:what} {number:n} {phase:phase} {at:t} by {who:who}[[: {note:note}]]",
    ]
}
DSIGN = {"sign": ["✅", "❌", "↩️", "🚨", "⏭️", "⏸️", "🔵"]}
WHAT = {"what": ["deploy", "rollback"]}
ILINE = {
    "flapping": "🟠 incident {number:n} flapping, {count:n} changes, since {since:t}: {cause:cause}",
    "open": "🔴 incident {number:n} since {since:t}: {cause:cause}",
    "over": "🟢 incident {number:n} {since:t} for {lasted:length}: {cause:cause}[[, {resolution:resolution}]]",
}
LEFT = {
    "up_to": "up to {count:n} restarts",
    "up_to_one": "up to {count:n} restart",
    "up_to_more": "up to {count:n} more restarts",
    "one_more": "{count:n} more restart",
}
NEXT = {
    "nothing": "nothing by itself, until somebody restarts[[, rolls back]] or resumes it.",
    "counted": "changes are only counted here, until it is stable.",
    "steps": [
        "{left:left}, then a rollback, since it began soon after a release, then escalation[[, {unless:unless}]].",
        "{left:left}, then escalation[[, {unless:unless}]].",
        "a rollback, since it began soon after a release, then escalation[[, {unless:unless}]].",
        "escalation[[, {unless:unless}]].",
    ],
}
UNLESS = {"unless": "if it does not recover"}
AGAIN = {"again": "again"}
HOLD = {
    "waits": "⏸ Automatic deploys are paused until a commit newer than {commit:sha} is pushed or /resume is used[[ ({why:holdwhy})]]",
    "paused": "⏸ Deploys are paused by {who:who} {at:t}[[: {reason:text}]]",
}
HOLDWHY = {"rollback": "rolled back: deployment {number:n}"}
CARD = {
    "since": "Since {since:t} ({ago:t}) on blue[[, {count:n} changes, the last {last:t}]]",
    "from_to": "{day:t}, {since:t} to {until:t} on blue[[, {count:n} changes, the last {last:t}]]",
    "downtime": "**Downtime:** {down:length}",
    "resolved": "**Resolved:** {resolution:resolution}",
    "nobody": "👀 Nobody has acknowledged it yet.",
    "acknowledged": "👀 **Acknowledged** by {who:who} {at:t}: {reason:text}",
    "void": "⚠️ Acknowledged by {who:who} {acked:t}: {reason:text}. Cleared {at:t}: {event:event}",
    "silenced": "🔕 Silenced by {who:who} until {until:t}[[: {reason:text}]]",
    "thread": "🧵 Timeline: {link:link}",
    "consequence": "↳ and so {check:word}: {seen:seen}",
    "process": "• process: {exit:exit}",
    "seen": "• {check:word}: {seen:seen}",
    "last_deploy": ["**Last deploy:** {line:dline}"],
    "no_deploy": "**Last deploy:** none by opsbot",
    "event": "{at:t} {event:event}",
    "more": "… {count:n} more",
    "next": "**Next:** {next:next}",
    "header": ["**Seen**", "**Timeline**", "**Its last lines**", "**Commits**", "…"],
    "span": "{since:t} to {until:t}: {cause:cause}",
    "last_cause": "**Last cause:** {cause:cause}",
    "escalated": "Escalated at {at:t}[[{late:late}]]. Nothing is left to do.",
    "since_f": "Since {since:t} on blue",
    "acked": "Acknowledged by {who:who}: {reason:text}",
    "service_at": "api · {at:t}",
    "head": ["**{before:sha} → {to:to}** on blue", "**nothing → {to:to}** on blue"],
    "by": "{by:by_capital} {at:t}",
    "reason": "Reason: {reason:reason}",
    "release": "Release `{release:release}`",
    "step": [
        "{mark:mark} {step:step}[[ {took:length}]][[, started {at:t}]][[ · {note:stepnote}]]",
    ],
    "coming": ["○ {step:coming}", "▶ {step:coming}"],
    "why": [
        "**Why:** {step:step} failed after {took:length}: {note:note}",
        "**Why:** {step:step} failed after {took:length}.",
        "**Why:** {note:note}",
    ],
    "blocked": "**Next:** {commit:sha} is blocked since it failed {at:t}: it is not deployed automatically. /resume lifts this, Retry tries it again.",
    "stuck_next": "**Next:** check the service and its log, then Retry[[ or Roll back]].",
    "nothing_runs": "**Next:** nothing runs until the next deploy.",
    "hold": "{hold:hold}",
    "commit": "{commit:sha} {title:text} · {author:word}",
    "more_commits": "+{count:n} more",
    "title": "{title:text} · {author:word}",
}
LATE = {"late": ", and posted only now"}
REASON = {
    "incident": "incident {number:n} began with this release",
    "retry": "retry of {number:n}",
    "button": "button",
}
MARK = {"mark": ["✓", "✗", "▶", "·"]}
COMING = {"coming": ["fetch", "prepare", "install", "wait", "switch", "restart", "verify"]}
STEP = {
    "fetch": ["fetch {ref:word}"],
    "prepare": "prepare the release",
    "switch": "switch to {commit:sha}",
    "restart": "restart",
    "verify_again": "verify {commit:sha}",
    "verify": "verify",
    "back": "switch back to {commit:sha}",
    "stop": "stop the service",
    "wait": "wait for a quiet moment",
}
STEPNOTE = {
    "commit": "{commit:sha}",
    "pid": "pid {pid:n}",
    "files": ["{files:n} file", "{files:n} files", "{files:n} file; {text:text}", "{files:n} files; {text:text}"],
    "stays_stopped": "the service was stopped by hand and stays stopped",
    "verify": "{verify:verify}",
}
TITLE = {
    "down": "api is DOWN",
    "flapping": "api is flapping",
    "was_down": "api was down for {down:length}",
    "was_flapping": "api was flapping: {count:n} changes",
    "attention": "api needs attention",
    "attended": "api needed attention",
    "deployment": ["api: deployment {number:n}", "api: rollback {number:n}"],
    "update": ["api: a new commit", "api: a commit that was deployed before"],
    "none": "",
}
FOOTER = {
    "incident": "blue · #i{number:n}",
    "deployment": "blue · #d{number:n}",
    "notice": "blue · #n{number:n}",
    "board": "blue · #board",
    "none": "",
}

STATUS_REASON = {
    "pass": ["{count:n} checks pass", "{count:n} check passes"],
    "verified_back": "verified after deployment {number:n} was rolled back",
    "verified": "verified by deployment {number:n}",
    "check_down": "check `{check:word}` is down[[: {seen:seen}]]",
    "check_fails": "check `{check:word}` fails[[: {seen:seen}]]",
    "not_run": ["checks {checks:checks} have not run yet", "check {checks:checks} has not run yet"],
    "not_passed": ["checks {checks:checks} have not passed yet", "check {checks:checks} has not passed yet"],
    "retrying": "exited, being restarted[[ ({exit:exit})]]",
    "failed": "exited[[ ({exit:exit})]]",
    "not_running": "not running[[ ({exit:exit})]]",
    "starting": "starting",
    "flapping": ["flapping, {count:n} changes", "flapping, {count:n} change"],
    "phase": "deployment {number:n} is {phase:phase}",
    "incident": "{cause:cause}",
}
REASONS = {
    "reasons": [
        "{a:status_reason}",
        "{a:status_reason}, {b:status_reason}",
        "{a:status_reason}, {b:status_reason}, {c:status_reason}",
    ]
}
STATE = {
    "state": ["healthy", "unstable", "degraded", "down", "starting", "deploying", "unknown"],
    "stopped": ["stopped by a person", "stopped by opsbot", "stopping"],
}
COMING_NEXT = {
    "recovering": "automatic recovery is under way",
    "attention": "needs attention",
    "stays": "stays stopped until somebody starts it",
    "starts": "the next deployment starts it",
    "paused_rollback": "automatic deploys paused since the rollback from {commit:sha} at {at:when}",
    "silenced": "alerts silenced by {who:who} until {until:when}",
    "paused": "deploys paused by {who:who} since {at:when}[[: {why:text}]]",
}
STATUS_HEAD = {
    "healthy": "🟢 1 service, healthy.",
    "bad": ["{sign:status_sign} 1 of 1 service {state:state}: api."],
    "other": "{sign:status_sign} 1 service: {state:state}.",
    "details": "{sign:status_sign} api is {state:state}[[ since {since:t}]][[: {reasons:reasons}]].[[ Next: {next:nexts}.]]",
}
STATUS_SIGN = {"sign": ["🟢", "🟠", "🟡", "🔴", "🔵", "⏹️", "⚪"]}
NEXTS = {
    "nexts": [
        "{a:coming_next}",
        "{a:coming_next}, {b:coming_next}",
        "{a:coming_next}, {b:coming_next}, {c:coming_next}",
    ]
}
NOTES = {
    "notes": [
        "{a:coming_next}",
        "{a:coming_next} · {b:coming_next}",
        "{a:coming_next} · {b:coming_next} · {c:coming_next}",
    ]
}
STATUS_LINE = {
    "service": "{sign:status_sign} **api** {state:state}[[ since {since:t}]][[: {reasons:reasons}]][[ · {notes:notes}]][[ · {live:sha}]][[ · started {started:t}]]",
    "host": ["🖥️ **blue** ·", "🖥️ **blue**"],
    "path": "📣 It has not been tried yet whether alerts arrive here.",
    "process": [
        "Process {pid:n}, started {started:t}, {count:n} restarts by itself",
        "Process {pid:n}, started {started:t}, {count:n} restart by itself",
    ],
    "last_run": "Last run: {exit:exit}",
    "release": "Release `{release:release}` {title:text}, live {at:t}",
    "deploying": "Deployment {number:n} is {phase:word}",
    "deployment": "{line:dline}",
    "incident": "{sign:status_sign} Incident {number:n} since {since:t}",
    "hold": "{hold:hold}",
    "silenced": "🔕 Silenced by {who:who} until {until:t}[[: {reason:text}]]",
    "branch": "Branch[[ at {head:sha}]], asked {at:t}; deployed by itself",
    "check_now": "🟡 {check:word} fails now, not judged down yet[[: {seen:seen}]]",
    "check": "{sign:status_sign} {check:word} {verdict:verdict}[[ since {since:t}]][[: {seen:seen}]]",
    "health": "{sign:status_sign} {check:word}: {seen:seen} ({took:length})",
    "unjudged": [
        "⚪ {check:word} has not run since the start",
        "⚪ {check:word}: not judged while stopped",
        "⚪ {check:word}: has not run yet",
    ],
}
VERDICT = {"verdict": ["up", "down", "unknown"]}
BOARD_NOTE = {
    "attention": "🚨 needs attention",
    "acknowledged": "👀 acknowledged by {who:who}",
    "incident": "[incident {number:n}](https://example.org/{message:n})",
    "paused": "⏸ {next:coming_next}",
    "silenced": "🔕 {next:coming_next}",
    "next": "{next:coming_next}",
    "live": "{live:sha} live {at:t}",
    "started": "started {at:t}",
}
BOARD_NOTES = {
    "notes": [
        "{a:board_note}",
        "{a:board_note} · {b:board_note}",
        "{a:board_note} · {b:board_note} · {c:board_note}",
        "{a:board_note} · {b:board_note} · {c:board_note} · {d:board_note}",
        "{a:board_note} · {b:board_note} · {c:board_note} · {d:board_note} · {e:board_note}",
        "{a:board_note} · {b:board_note} · {c:board_note} · {d:board_note} · {e:board_note} · {f:board_note}",
    ]
}
BOARD_LINE = {
    "healthy": "🟢 **api**[[ · {notes:board_notes}]]",
    "service": "{sign:status_sign} **api** {state:state}[[ since {since:t}]][[: {reasons:reasons}]][[ · {notes:board_notes}]]",
    "host": "🖥️ **blue**",
    "change": "-# last change {at:t}",
}
KINDWORD = {"kind": ["rollback", "deployment"]}
DEPLOYED = {"deployment": "{kind:kindword} {number:n}[[ ({commit:hex})]] by {who:who}"}
WENT = {"went": ["went live", "failed", "was rolled back", "needs attention", "was skipped", "was superseded"]}
SPAN = {"span": "{span:length}"}
CALMED = {"calm": "it last changed {at:when}, and is over once it is calm"}
WHEN = {"t": ["{day:t} {at:t}", "{at:t}"], "stamp": "{at:stamp}"}
AFTER = {
    "person": ", {span:length} after {who:who} restarted it",
    "during": ", during {deployed:deployed}[[, which {went:went}]]",
    "deployment": ", {span:length} after {deployed:deployed}",
}
DONE = {
    "restarted": "restarted by opsbot {at:when}",
    "restarted_times": "restarted {count:n} times by opsbot, last {at:when}",
    "event": "{event:event} {at:when}",
}
ENDING = {
    "flaps": "it last changed {at:when}, and is over once it is calm",
    "down": "still down after {span:length}",
    "recovered": "recovered {at:when} after {span:length}[[ ({resolution:resolution})]]",
}
WHY_HEAD = {
    "down": "{at:when} api went down: {cause:cause}[[; {exit:exit}]][[{after:after}]][[; {d1:done}]][[; {d2:done}]][[; {d3:done}]][[; {d4:done}]]; {ending:ending}.",
    "flapped": "{at:when} api flapped, {count:n} changes in {span:length}: {cause:cause}[[{after:after}]][[; {d1:done}]][[; {d2:done}]][[; {d3:done}]][[; {d4:done}]]; {ending:ending}.",
    "stopped": "api was stopped by hand[[ at {at:when}]][[; when is not known]]: it is left alone until somebody starts it.",
    "dead": ["api does not run: {exit:exit}. More is not known.", "api does not run, and why is not known."],
    "nothing": "No incident of api is known. It runs[[, started {at:when}]][[ by {deployed:deployed}]].",
}
DEED = {
    "deployment": "{deployed:deployed} {went:went}",
    "restart": "restart by {who:who}: running, pid {pid:n}",
    "restart_failed": "restart by {who:who}: verification failed: {verify:verify}",
    "person": ["{action:word} by {who:who}: {text:text}"],
    "incident_over": "incident {number:n} of api ended: {resolution:resolution}",
    "incident": "incident {number:n} of api: {cause:cause}",
    "event": "{event:event}",
}
WHY_LINE = {
    "line": "{at:t} {kind:deedkind}: {deed:deed}",
    "cli": "  {at:stamp}  {kind:deedkind}{pad:pad}{deed:deed}",
    "more": "…",
}
PAD = {"pad": [" ", "  ", "   ", "    ", "     "]}
DEEDKIND = {"kind": ["deploy", "person", "manager", "incident", "action", "recovered"]}
HISTORY_HEAD = {"head": "The last {deployments:n} deployments and {incidents:n} incidents of api."}
HISTORY_LINE = {"deployment": "{line:dline}", "incident": "{line:iline}", "more": "…"}

CLI_STATUS_LINE = {
    "header": "SERVICE  STATE  UP  PID  CPU  MEMORY  RELEASE",
    "service": "api  {state:state}  {up:up}  {pid:pid}  -  -  {live:hex} {title:text}",
    "check_now": "  {check:word} fails now, not judged down yet[[: {seen:seen}]]",
    "check": "  {check:word} {verdict:verdict}[[ for {age:length}]][[: {seen:seen}]]",
    "incident": "  incident {number:n}[[ for {age:length}]]: {cause:cause}",
    "deploying": "  deployment {number:n} {phase:phase} for {age:length}: {what:text}",
    "next": "  {next:coming_next}",
    "reason": "  {reason:status_reason}",
}
UP = {"length": "{up:length}", "none": "-"}
PID = {"pid": "{pid:n}", "none": "-"}
CLI_HISTORY_LINE = {
    "header": ["deployments", "incidents", "  none"],
    "deployment": [
        "  #{number:n}  {at:stamp}  api  {what:what}  {phase:phase}  {took:length}  {who:who}  {before:hex} → {commit:hex}[[ {title:text}]]",
        "  #{number:n}  {at:stamp}  api  {what:what}  {phase:phase}  {took:length}  {who:who}  {commit:hex}[[ {title:text}]]",
        "  #{number:n}  {at:stamp}  api  {what:what}  {phase:phase}  {took:length}  {who:who}[[  {release:release}]]",
    ],
    "over": "  #{number:n}  {at:stamp}  api  {cause:cause}  resolved after {lasted:length}[[, down for {down:length}]][[ ({resolution:resolution})]]",
    "open": "  #{number:n}  {at:stamp}  api  {cause:cause}  open for {age:length}[[, flapping, {count:n} changes]]",
    "event": "  {at:stamp}  {event:event}",
    "note": "  {note:note}",
}
RESTART_HEAD = {
    "passed": "restart of run {pid:n} passed: {verify:verify}",
    "failed": "restart of run {pid:n} failed: {verify:verify}",
}

TABLES: Mapping[str, Mapping[str, str | Sequence[str]]] = {
    name.lower(): table for name, table in list(globals().items()) if name.isupper() and isinstance(table, dict)
} | {"event1": {name: text for name, text in EVENT.items() if name != "void"}}
GRAMMAR = Grammar(TABLES)
