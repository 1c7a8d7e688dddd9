"""Compares every claim of every text with what really was (`reality`)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cogs.cards.rendered import GREEN, RenderedMessage
from tests.oracle.grammar import Claim, UnknownSentenceError, plainly
from tests.oracle.reality import Deed, Look, Run, Truth, names
from tests.oracle.sentences import GRAMMAR
from tests.oracle.world import CHECKS, MEMORY_MAX, POLICY, Answer, Post, World, service

SECOND = timedelta(seconds=1)
EXACT = 1.6 * SECOND
"""Times are shown in whole seconds, and opsbot acts within a tick."""
MOMENT = timedelta(milliseconds=50)
"""One deployment may follow another at once."""
SLACK = 4 * SECOND
"""Two looks of a check, and the tick that takes note of them."""
LATE = 14 * SECOND
"""What has been so for longer must be known: the grace of a start, as many looks as count, a check's own time limit."""
SHORT = timedelta(seconds=6)
"""An outage that two looks may miss."""
UNSEEN = timedelta(minutes=2)
"""opsbot may be away for so long without taking note of that itself."""
FALL = {check.name: check.policy.fall for check in CHECKS}

TABLES = {
    "status": ("status_head", "status_line"),
    "status service": ("status_head", "status_line"),
    "health": ("status_head", "status_line"),
    "board": ("status_head", "board_line"),
    "why": ("why_head", "why_line"),
    "cli why": ("why_head", "why_line"),
    "history": ("history_head", "history_line"),
    "cli status": ("cli_status_line", "cli_status_line"),
    "cli history": ("cli_history_line", "cli_history_line"),
    "restart": ("restart_head", "restart_head"),
}
STRUCTURE = frozenset(
    [
        "label.check",
        "kind.kind",
        "sign.sign",
        "where.where",
        "mark.mark",
        "coming.coming",
        "dsign.sign",
        "what.what",
        "again.again",
        "unless.unless",
        "card.header",
        "card.more",
        "card.thread",
        "card.commit",
        "card.title",
        "card.coming",
        "title.none",
        "footer.none",
        "footer.board",
        "footer.notice",
        "footer.incident",
        "footer.deployment",
        "title.update",
        "status_line.host",
        "status_line.path",
        "board_line.host",
        "reasons.reasons",
        "nexts.nexts",
        "notes.notes",
        "board_notes.notes",
        "status_sign.sign",
        "verdict.verdict",
        "kindword.kind",
        "span.span",
        "pad.pad",
        "entry_kind.kind",
        "why_line.more",
        "history_line.more",
        "late.late",
        "unless.unless",
        "tried.one",
        "tried.two",
        "tried.three",
        "trial.restarts",
        "trial.rollbacks",
        "trial.by_manager",
        "shas.several",
        "missing.several",
        "note.skipped",
        "reason.button",
        "headline.deployment",
        "card.hold",
        "status_line.hold",
        "history_line.deployment",
        "history_line.incident",
        "status_line.deployment",
        "ended.ended",
        "said.down",
        "said.flapping",
        "when.t",
        "when.stamp",
        "event.cause",
        "card.last_deploy",
        "board_note.next",
        "board_note.paused",
        "board_note.silenced",
        "event1.cause",
        "why_line.line",
        "why_line.cli",
        "deed.event",
        "event.deployment",
        "title.deployment",
        "went.went",
        "headline.line",
        "stepnote.verify",
        "cli_status_line.header",
        "cli_status_line.next",
        "cli_status_line.reason",
        "cli_history_line.header",
        "cli_history_line.event",
        "cli_history_line.note",
        "tail.tail",
    ]
)
"""Rules that claim nothing by themselves: what stands in their holes does, or the rule that they stand in."""


@dataclass(frozen=True)
class Context:
    """Where and when something is said. until: when it is replaced by something else. live: what was live then."""

    where: str
    at: datetime
    until: datetime
    live: str
    incident: int = 0
    opened: datetime | None = None
    closed: datetime | None = None
    deployment: int = 0
    line_at: datetime | None = None
    """The time that a line of a timeline begins with."""
    posted: datetime | None = None
    """When a message was posted, whose text is of that moment."""
    settled: bool = False
    """Which incident it is about is known."""

    @property
    def said_at(self) -> datetime:
        """The time that is said, or else the time at which it is said."""
        return self.at if self.line_at is None else self.line_at

    @property
    def is_over(self) -> bool:
        """Whether the incident is over for sure: times are shown without their fractions."""
        return self.closed is not None and self.closed + SECOND <= self.at

    @property
    def began(self) -> datetime:
        return self.opened if self.opened is not None else self.at

    @property
    def end(self) -> datetime:
        """Until when something can have happened that is said."""
        return self.closed if self.closed is not None else self.at


@dataclass
class Known:
    """What cards say of incidents and deployments, by their numbers: only to know which one a text is about."""

    opened: dict[int, datetime] = field(default_factory=dict)
    started: dict[int, datetime] = field(default_factory=dict)
    """The first event of an incident's timeline: what flaps began before it."""
    posted: dict[int, datetime] = field(default_factory=dict)
    called: dict[int, list[datetime]] = field(default_factory=dict)
    """When people were called."""
    closed: dict[int, datetime] = field(default_factory=dict)
    commits: dict[int, str] = field(default_factory=dict)
    created: dict[int, datetime] = field(default_factory=dict)
    finished: dict[int, datetime] = field(default_factory=dict)


class FalseClaimError(AssertionError):
    """Something that is said is not so."""


def near(one: datetime, other: datetime, by: timedelta = EXACT) -> bool:
    return abs(one - other) <= by


def claim(true: object, why: str) -> None:
    if not true:
        raise FalseClaimError(why)


class Checker:
    """Of one world, once it is over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.truth: Truth = world.truth
        self.known = Known()
        self.silent: set[int] = set()
        """Incidents that have no card."""
        self.false: list[str] = []
        self.counted: dict[str, int] = {}
        self.ends = max(
            [each.at for each in world.answers]
            + [at for post in world.channel.posts.values() for at, _ in post.versions],
            default=world.truth.runs[0].began,
        )

    def check(self) -> list[str]:
        """All that is false."""
        posts = list(self.world.channel.posts.values())
        for post in posts:
            self._learn(post)
        for answer in self.world.answers:
            if answer.where == "history":
                self._learn_silenced(answer)
        for post in posts:
            self._post(post)
        for answer in self.world.answers:
            self._answer(answer)
        self.false += self.world.problems
        return self.false

    # Reading

    def _learn(self, post: Post) -> None:
        """Which incident or deployment it is about, and from when to when that lasted."""
        for at, shown in post.versions:
            footer = plainly(shown.footer)
            letter, number = (footer.partition("#")[2][:1], footer.partition("#")[2][1:])
            if letter == "i":
                self.known.posted.setdefault(int(number), at)
                for each in self._silently("card", shown.text):
                    if each.rule == "card.event" and each.event.rule == "event.escalated":
                        self.known.called.setdefault(int(number), []).append(each.at)
                    if each.rule == "card.event":
                        self.known.started.setdefault(int(number), each.at)
                    if each.rule in {"card.since", "card.from_to"}:
                        self.known.opened[int(number)] = each.since
                        if each.rule == "card.from_to":
                            self.known.closed[int(number)] = each.until
            elif letter == "d":
                self.known.created.setdefault(int(number), at)
                for each in self._silently("headline", shown.content):
                    sentence = each.values.get("sentence")
                    if sentence is not None and "to" in sentence.values and "commit" in sentence.to.values:
                        self.known.commits[int(number)] = sentence.to.commit
                    if sentence is not None and sentence.rule != "sentence.going":
                        self.known.finished.setdefault(int(number), at)

    def _learn_silenced(self, answer: Answer) -> None:
        """Of an incident that was silenced from its beginning to its end only this is known."""
        for each in self._silently("history_line", answer.shown.text):
            line = each.values.get("line")
            if each.rule != "history_line.incident" or line is None:
                continue
            if line.number not in self.known.posted or line.number in self.silent:
                self.silent.add(line.number)
                self.known.posted.setdefault(line.number, answer.at - EXACT)
                self.known.opened[line.number] = line.since
                if line.rule == "iline.over":
                    self.known.closed[line.number] = line.since + line.lasted + SECOND

    def _silently(self, table: str, text: str) -> list[Claim]:
        found = []
        for line in self._lines(text):
            try:
                found.append(GRAMMAR.parse(table, line))
            except UnknownSentenceError:
                continue
        return found

    def _lines(self, text: str) -> Iterator[str]:
        fenced = False
        for line in text.split("\n"):
            if line.startswith("```"):
                fenced = not fenced
            elif not fenced and line.strip():
                yield plainly(line)

    def _log(self, text: str) -> list[str]:
        """The lines of a service's log that a text shows."""
        return text.split("```")[1].strip("\n").split("\n") if "```" in text else []

    def _context(self, post: Post, number: int) -> Context:
        at, shown = post.versions[number]
        until = post.versions[number + 1][0] if number + 1 < len(post.versions) else self.ends
        found = Context("channel", at, until, self.world.live_at(at))
        if shown.footer.partition("#")[2].startswith("n"):
            found = replace(found, posted=post.versions[0][0])
        footer = shown.footer.partition("#")[2]
        incident = int(footer[1:]) if footer.startswith("i") else self._incident_of(post)
        if incident:
            opened, closed = self.known.opened.get(incident), self.known.closed.get(incident)
            over = closed is not None and closed <= at
            found = replace(found, incident=incident, opened=opened, closed=closed if over else None)
        return replace(found, deployment=int(footer[1:])) if footer.startswith("d") else found

    def _incident_of(self, post: Post) -> int:
        """The incident in whose thread it stands, or that it replies to."""
        card = self.world.channel.posts.get(post.where or self.world.channel.replies.get(post.id, 0))
        footer = card.shown.footer.partition("#")[2] if card is not None else ""
        return int(footer[1:]) if footer.startswith("i") else 0

    # Checking

    def _post(self, post: Post) -> None:
        for number, (_, shown) in enumerate(post.versions):
            context = self._context(post, number)
            for line in self._lines(shown.content):
                self._line("headline", line, context)
            self._line("title", plainly(shown.title), context)
            self._line("footer", plainly(shown.footer), context)
            for line in self._lines(shown.text):
                self._line("card", line.strip(), context)
            self._shown_log(shown, context)
        self._is_up_to_date(post)

    def _answer(self, answer: Answer) -> None:
        head, body = TABLES[answer.where]
        context = Context(answer.where, answer.at, answer.at, self.world.live_at(answer.at))
        lines = list(self._lines(answer.shown.content))
        if lines:
            self._line(head, re.sub(" {2,}", "  ", lines[0]) if head == body else lines[0], context)
        if lines and head == "why_head":
            context = self._of_head(lines[0], context)
        rest = [*lines[1:], *self._lines(answer.shown.text)]
        for line in rest:
            if answer.where in {"cli status", "cli history"}:
                line = re.sub(" {2,}", "  ", line)  # noqa: PLW2901 - columns are as wide as what stands in them
                context = self._below(body, line, context)
            self._line(body, line if answer.where.startswith("cli") else line.strip().removeprefix("　"), context)
        if answer.where == "history":
            self._one_is_live(rest, answer)

    def _below(self, table: str, line: str, context: Context) -> Context:
        """The lines below an incident are about that one."""
        try:
            found = GRAMMAR.parse(table, line)
        except UnknownSentenceError:
            return context
        if found.rule not in {"cli_history_line.over", "cli_history_line.open"}:
            return context
        opened, closed = self.known.opened.get(found.number), self.known.closed.get(found.number)
        over = closed is not None and closed <= context.at
        return replace(
            context, incident=found.number, opened=opened, closed=closed if over else None, settled=opened is not None
        )

    def _of_head(self, line: str, context: Context) -> Context:
        """The lines below an account are about the same incident."""
        try:
            found = self._refined(GRAMMAR.parse("why_head", line), context)
        except UnknownSentenceError:
            return context
        return replace(found, settled=True)

    def _line(self, table: str, line: str, context: Context) -> None:
        try:
            found = GRAMMAR.parse(table, line)
        except UnknownSentenceError as error:
            self.false.append(f"{context.at:%H:%M:%S} {context.where}: {error}")
            return
        context = self._refined(found, context)
        for each, where in self._walk(found, context):
            self._prove(each, found, where)

    def _walk(self, found: Claim, context: Context) -> Iterator[tuple[Claim, Context]]:
        """It and what it holds, each with the time that is said of it."""
        at = _moment(found.values.get("at"), context)
        if at is not None:
            context = replace(context, line_at=at)
        yield found, context
        for value in found.values.values():
            if isinstance(value, Claim):
                yield from self._walk(value, context)

    def _refined(self, found: Claim, context: Context) -> Context:
        """With the incident that the line is about: the one that it names, or that was open at the time it says."""
        if context.where == "channel" or context.settled:
            return context
        numbers = [
            each.number
            for each in found.within()
            if each.rule.startswith("iline.")
            or each.rule in {"deed.incident", "deed.incident_over", "status_line.incident", "board_note.incident"}
        ]
        at = _moment(found.values.get("at"), context) or context.at
        number = numbers[0] if numbers else self._incident_at(at, context, latest=found.rule.startswith("why_head."))
        closed = self.known.closed.get(number)
        over = closed is not None and closed <= context.at
        opened = self.known.opened.get(number)
        if opened is None:  # one that is silenced has no card yet
            opened = _moment(found.values.get("since"), context)
            if opened is None and found.rule.startswith("why_head."):
                opened = at
            opened = opened or context.at - 600 * SECOND
        return replace(context, incident=number, opened=opened, closed=closed if over else None)

    def _incident_at(self, at: datetime, context: Context, *, latest: bool) -> int:
        """The incident that was open then, or the one that was opened last, also where it is over."""
        now = context.at + EXACT
        opened = [
            each
            for each, at_ in self.known.opened.items()
            if at_ <= at + EXACT and self.known.posted.get(each, now) <= now
        ]
        found = [each for each in opened if self.known.closed.get(each, at) >= at - EXACT]
        if latest:
            found = [each for each in opened if near(self.known.opened[each], at, SECOND)]
            found.sort(key=lambda each: (abs(self.known.opened[each] - at), -each), reverse=True)
            return found[-1] if found else 0
        return max(found, default=0)

    def _prove(self, each: Claim, line: Claim, context: Context) -> None:
        self.counted[each.rule] = self.counted.get(each.rule, 0) + 1
        if each.rule in STRUCTURE:
            return
        proof = getattr(self, each.rule.replace(".", "_"), None)
        if proof is None:
            self.false.append(f"nobody proves {each.rule}: {each.text!r}")
            return
        try:
            proof(each, context, line)
        except FalseClaimError as error:
            opened = f" (incident {context.incident} since {context.opened:%H:%M:%S})" if context.opened else ""
            self.false.append(
                f"{context.at:%H:%M:%S} {context.where}{opened}: {each.rule} {each.text!r} is false: {error}"
                + (f"; in {line.text!r}" if line is not each else "")
            )

    # Facts

    def _reset(self, context: Context, at: datetime) -> datetime:
        """When recovery last began again in the incident, until then."""
        start = self._start(context)
        deeds = [
            deed.at
            for deed in self.truth.deeds
            if deed.what in {"restart", "resume"} and not deed.refused and start <= deed.at <= at
        ]
        return max([start, *deeds])

    def _start(self, context: Context) -> datetime:
        """When the incident itself began: later than `began` where it stands for what flapped before."""
        return self.known.started.get(context.incident, context.began)

    def _restarts(self, since: datetime, until: datetime) -> list[Run]:
        return self.truth.starts("api", "opsbot", since, until)

    def _deed(self, what: str, who: str, at: datetime) -> Deed | None:
        return next(
            (deed for deed in self.truth.deeds if deed.what == what and deed.who == who and near(deed.at, at)), None
        )

    def _evidence(self, cause: Claim, since: datetime, until: datetime) -> datetime | None:
        """When a cause was last so in that time."""
        found: list[datetime]
        if cause.rule in {"cause.died", "cause.gave_up"}:
            exit_ = cause.values.get("exit")
            found = [
                run.ended
                for run in self.truth.crashes("api", since, until)
                if run.ended is not None and (exit_ is None or run.exit == exit_.text)
            ]
        else:
            seen = cause.values.get("seen")
            name = _check_of(cause)
            found = [
                look.at
                for look in self.truth.looked("api", name, since, until)
                if not look.ok and (seen is None or look.text == seen.text)
            ]
        return max(found, default=None)

    def _current(self, cause: Claim, context: Context) -> None:
        """The cause is what is wrong now, or was last: nothing else has been wrong since, for long."""
        until = context.end
        if context.where != "channel" and self._silenced(context.at):  # which incident it is about is not known
            claim(self._evidence(cause, self.truth.runs[0].began, context.at + EXACT), "that did not happen")
            return
        found = self._evidence(cause, context.began - SLACK, until + EXACT)
        claim(found, "that did not happen in this incident")
        assert found is not None
        exit_ = cause.values.get("exit")
        for run in self.truth.crashes("api", found + EXACT, until - EXACT):
            if self._is_tried(run):
                continue  # its deployment tells that
            same = exit_ is not None and run.exit == exit_.text
            claim(same, f"it {run.exit} at {run.ended:%H:%M:%S}, since the last sign of that at {found:%H:%M:%S}")
        for check in CHECKS:
            if cause.rule not in {"cause.died", "cause.gave_up"} and _check_of(cause) == check.name:
                continue
            looks = self.truth.looked("api", check.name, found + EXACT, until)
            failing: list[Look] = []
            for look in looks:
                if self.truth.run_at("api", look.at) is None or self._deploying(look.at):
                    failing = []
                    continue  # it fails since nothing runs, or is its deployment's
                failing = [*failing, look] if not look.ok else []
                if not failing or failing[-1].at >= until:
                    continue
                span = failing[-1].at - failing[0].at - self._away(failing[0].at, failing[-1].at)
                if span > LATE:
                    raise FalseClaimError(
                        f"since {failing[0].at:%H:%M:%S} {check.name} fails: {failing[-1].text}; "
                        f"the last sign of what is said was at {found:%H:%M:%S}"
                    )

    def _downtime(self, said: timedelta, context: Context) -> None:
        claim(context.opened and context.closed, "the incident is not over")
        assert context.opened is not None
        assert context.closed is not None
        real, edges = self.truth.downtime("api", context.opened - SLACK, context.closed + EXACT)
        off = SLACK + edges * 3 * SECOND + 0.02 * real
        if timedelta(0) < said - real <= off + self._away(context.opened, context.closed):
            return  # opsbot cannot know when it recovered meanwhile: README.md
        claim(abs(said - real) <= off, f"it was down for {real}, with {edges} changes")

    def _away(self, since: datetime, until: datetime) -> timedelta:
        """How long opsbot was not running in that time."""
        spans = [(left, back) for (left, runs), (back, _) in _pairs(self.truth.opsbot) if not runs]
        return sum((max(min(back, until) - max(left, since), timedelta(0)) for left, back in spans), timedelta(0))

    def _well(self, at: datetime) -> bool:
        """Whether it serves, or has at any time shortly before."""
        down, _ = self.truth.downtime("api", at - LATE, at)
        return self.truth.serves("api", at) or down < LATE - EXACT

    def _unwell(self, at: datetime) -> bool:
        """Whether it has not served at any time shortly before, was restarted, or was not looked at."""
        since = at - LATE
        down, _ = self.truth.downtime("api", since, at)
        crashed = self.truth.crashes("api", since, at + EXACT)
        restarted = any(since <= run.began <= at for run in self.truth.runs)
        return bool(down or crashed or restarted or self._away(since, at))

    def _changes(self, count: int, context: Context, since: datetime | None = None) -> None:
        _, edges = self.truth.downtime("api", (since or context.began) - SLACK, context.at + EXACT)
        turns = sum(
            one.ok is not two.ok
            for check in CHECKS
            for one, two in _pairs(self.truth.looked("api", check.name, context.began - SLACK, context.at))
        )
        claim(count <= max(edges, turns) + 1, f"it changed {edges} times")

    def _at_its_call(self, context: Context, line: Claim, proof: Callable[[datetime], None]) -> None:
        """Prove it for the moment of the escalation that a text tells of, which is said without its fraction."""
        said = context.line_at or context.at
        if line.rule.startswith("headline.call"):  # it may be posted later, and be edited still later
            called = [at for at in self.known.called.get(context.incident, []) if at <= context.at]
            moments = called or [context.posted or context.at]
        else:
            moments = [said]
        wrong = [FalseClaimError("nobody was called")]
        for moment in moments:
            for part in range(9):
                try:
                    proof(moment + EXACT - part * SECOND / 5)
                except FalseClaimError as error:
                    wrong.append(error)
                else:
                    return
        raise wrong[-1]

    def _tried_until(self, tried: Claim, context: Context, at: datetime) -> None:
        since = self._reset(context, at)
        said = {"restarts": 0, "rollbacks": 0, "by_manager": 0}
        for each in tried.values.values():
            said[each.rule.partition(".")[2]] = each.count
        restarts = len(self._restarts(since, at))
        by_manager = len(self.truth.starts("api", "manager", since, at))
        claim(said["restarts"] == restarts, f"opsbot restarted it {restarts} times")
        claim(said["by_manager"] <= by_manager, f"its manager started it {by_manager} times")
        deployed = len(self.truth.starts("api", "deployment", since, at))
        claim(said["rollbacks"] <= 1, "there is one rollback at most")
        claim(deployed or not said["rollbacks"], "nothing was deployed")

    def _run_of(self, pid: int) -> Run | None:
        return next((run for run in self.truth.runs if run.pid == pid), None)

    def _last_runs(self, until: datetime) -> list[Run]:
        """The run that lived then; several where it was replaced about then."""
        runs = self.truth.runs_of("api", until + EXACT)
        return [run for run in runs if run.ended is None or run.ended >= until - EXACT]

    def _deploying(self, at: datetime) -> bool:
        spans = [self._span_of(number) for number in self.known.created]
        return any(since <= at <= until for since, until in spans)

    def _is_tried(self, run: Run) -> bool:
        """Whether it ended while its deployment verified it."""
        spans = [self._span_of(number) for number in self.known.created]
        return run.by == "deployment" and any(since <= (run.ended or run.began) <= until for since, until in spans)

    # Causes, exits and what checks saw: that they happened at all

    def exit_status(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            any(
                run.exit == each.text for run in self.truth.crashes("api", self.truth.runs[0].began, context.at + EXACT)
            ),
            "no run ended so",
        )

    exit_signal = exit_status

    def _saw(self, each: Claim, context: Context, line: Claim) -> None:
        looks = [look for look in self.truth.looks if look.at <= context.at + EXACT and look.text == each.text]
        claim(looks, "no check saw that")

    seen_status = seen_no_answer = seen_refused = seen_closed = seen_open = seen_memory = _saw
    seen_runs = seen_activity = _saw

    def cause_died(self, each: Claim, context: Context, line: Claim) -> None:
        self._cause(each, context, line)

    def cause_gave_up(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(at <= context.at + EXACT for at, _ in self.truth.gave_up), "its manager did not give up")
        self._cause(each, context, line)

    def cause_check(self, each: Claim, context: Context, line: Claim) -> None:
        if "failed" in each.values:
            claim(each.failed == each.looks == FALL[_check_of(each)], f"it takes {FALL[_check_of(each)]}")
        self._cause(each, context, line)

    def cause_alternates(self, each: Claim, context: Context, line: Claim) -> None:
        turns = _pairs(self.truth.looked("api", _check_of(each), context.began - 60 * SECOND, context.at + EXACT))
        claim(sum(one.ok is not two.ok for one, two in turns) >= 6, "it does not alternate")

    def _cause(self, each: Claim, context: Context, line: Claim) -> None:
        if line.rule in {"headline.line", "card.event", "why_line.line", "why_line.cli", "cli_history_line.event"}:
            at = context.line_at if context.line_at is not None else context.at
            begin = context.opened or at
            found = self._evidence(each, min(begin, at) - SLACK, context.at + EXACT)
            claim(found, "that did not happen")
        elif line.rule == "card.span" and self._start(context) > context.began + SECOND:
            claim(self._evidence(each, context.began - SLACK, context.end + EXACT), "that did not happen")
        elif line.rule in {"why_head.down", "card.span", "deed.incident"}:
            claim(self._evidence(each, context.began - SLACK, context.began + LATE), "it did not begin with that")
        elif line.rule.startswith("headline.call"):
            self._current(each, context)
        else:
            self._current(each, context)

    # Headlines

    def headline_down(self, each: Claim, context: Context, line: Claim) -> None:
        self._since(each.since, context)
        claim(self._unwell(context.at), "it is well")

    def _since(self, since: datetime, context: Context) -> None:
        crashes = self.truth.crashes("api", since - EXACT, since + EXACT)
        failed = [
            look
            for check in CHECKS
            for look in self.truth.looked("api", check.name, since - EXACT, since + EXACT)
            if not look.ok
        ]
        claim(crashes or failed, "nothing failed then")

    def headline_flapping(self, each: Claim, context: Context, line: Claim) -> None:
        self._changes(each.count, context, _moment(each.since, context))
        claim(each.span <= context.at - each.since + EXACT, "that is longer ago than it flaps")

    def headline_was_down(self, each: Claim, context: Context, line: Claim) -> None:
        self._downtime(each.down, context)
        claim(self.truth.serves("api", context.end) or self._well(context.end), "it did not recover")

    def headline_was_flapping(self, each: Claim, context: Context, line: Claim) -> None:
        self._downtime(each.down, context)
        self._changes(each.count, context)

    def headline_recovered(self, each: Claim, context: Context, line: Claim) -> None:
        self._downtime(each.down, replace(context, closed=context.closed or context.at))

    def headline_stable(self, each: Claim, context: Context, line: Claim) -> None:
        self._downtime(each.down, replace(context, closed=context.closed or context.at))
        self._changes(each.count, context)

    def headline_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("stop", "host", context.end), "nobody stopped it")
        self._downtime(each.down, context)

    headline_stopped_end = headline_stopped

    def headline_stopped_by_hand(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            any(deed.what == "stop" and context.at - LATE <= deed.at <= context.at for deed in self.truth.deeds),
            "nobody did",
        )

    def headline_call(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._unwell(context.at), "it is well")

    def headline_call_over(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None, "the incident goes on")
        claim(near(each.at, context.end), "it ended at another time")
        claim((each.end == "Stopped") == (self._deed("stop", "host", context.end) is not None), "it ended otherwise")

    def headline_reminder(self, each: Claim, context: Context, line: Claim) -> None:
        taken = [
            deed
            for deed in self.truth.deeds
            if deed.what == "ack" and context.began <= deed.at <= context.at and not deed.refused
        ]
        lasted = context.began + each.span
        claim(not [deed for deed in taken if deed.at < lasted - EXACT] or self._voided(context), "it was acknowledged")

    headline_escalation = headline_reminder

    def _voided(self, context: Context) -> bool:
        card = self.world.channel.posts.get(self._card_of(context.incident))
        return card is not None and any("Cleared" in shown.text for _, shown in card.versions)

    def _card_of(self, incident: int) -> int:
        return next(
            (post.id for post in self.world.channel.posts.values() if post.shown.footer.endswith(f"#i{incident}")), 0
        )

    def headline_worse(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "ack" and deed.at <= context.at for deed in self.truth.deeds), "nobody acknowledged it")

    def headline_late(self, each: Claim, context: Context, line: Claim) -> None:
        away = [at for at, runs in self.truth.opsbot if not runs and at <= context.at]
        claim(away or self._silenced(context.at), "opsbot was never away, and it was not silenced")

    def _silenced(self, at: datetime) -> bool:
        return any(deed.what in {"silence", "button silence"} and deed.at <= at for deed in self.truth.deeds)

    def headline_was_silenced(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._silenced(context.at) and each.until <= context.at, "it was not")

    def headline_resolved_at(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None and near(each.at, context.closed), "it was not")

    def headline_taken(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("ack", each.who, each.at), "that person did not")

    def headline_update(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(code.commit.startswith(each.commit) for code in self.truth.code.values()), "nobody pushed it")
        claim(not self._ran(each.commit, context.at), "it was deployed before")

    def headline_known(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    headline_known_info = headline_known

    def before_failed(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(near(at, each.at, SLACK) for at in self.known.finished.values()), "no deployment ended then")

    before_rolled_back = before_failed
    before_was_live = before_failed

    def _ran(self, commit: str, until: datetime) -> list[Run]:
        return [run for run in self.truth.runs if run.commit.startswith(commit) and run.began <= until]

    # Why a commit is not deployed

    def update_not_newer(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._rolled_back(context.at), "there was no rollback")

    update_rolled_back = update_not_newer

    def _rolled_back(self, until: datetime) -> bool:
        runs = [run for run in self.truth.runs if run.by == "deployment" and run.began <= until + EXACT]
        return any(two.commit in {run.commit for run in self.truth.runs if run.began < two.began} for two in runs[1:])

    def update_quarantined(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(near(at, each.at, 60 * SECOND) for at in self.known.finished.values()), "nothing failed then")

    def update_by_hand(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            any(
                deed.who == each.who and deed.what in {"deploy", "rollback", "button retry", "button rollback"}
                for deed in self.truth.deeds
            ),
            "that person did not",
        )

    def update_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "stop" for deed in self.truth.deeds), "nobody stopped it")

    def update_held(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "hold" and deed.who == each.who for deed in self.truth.deeds), "nobody holds it")

    # What recovery does

    def doing_attention(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            self._silenced(context.at)
            or any(
                (self._incident_of(post) == context.incident and "needs attention" in post.versions[0][1].content)
                or "needed attention" in post.versions[0][1].content
                for post in self.world.channel.posts.values()
            ),
            "nobody was called",
        )

    def doing_restarting(self, each: Claim, context: Context, line: Claim) -> None:
        self._attempt(each, context, context.at)

    def _attempt(self, each: Claim, context: Context, at: datetime) -> None:
        if context.where != "channel" and self._silenced(context.at):
            return  # likewise
        since = self._reset(context, at)
        claim(each.of == POLICY.attempts, f"{POLICY.attempts} are allowed")
        least, most = len(self._restarts(since, at - EXACT)), len(self._restarts(since, at + EXACT))
        claim(least <= each.attempt <= most, f"opsbot restarted it {least} to {most} times")

    def doing_rolling_back(self, each: Claim, context: Context, line: Claim) -> None:
        self._goes_back(each, context, context.at)

    def _goes_back(self, each: Claim, context: Context, at: datetime) -> None:
        if "release" in each.values:
            runs = [run for run in self._ran(each.release, self.ends) if run.by == "deployment"]
            claim(
                any(at - 60 * SECOND <= run.began <= at + LATE for run in runs) or self.ends < at + LATE, "it did not"
            )

    # Events

    def event_died(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        exit_ = each.values.get("exit")
        found = self.truth.crashes("api", at - EXACT, at + EXACT)
        claim([run for run in found if exit_ is None or run.exit == exit_.text], "it did not then")

    def event_gave_up(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        claim(any(near(when, at) for when, _ in self.truth.gave_up), "it did not then")

    def event_by_manager(self, each: Claim, context: Context, line: Claim) -> None:
        self._started(each, context, "manager")

    def event_outside(self, each: Claim, context: Context, line: Claim) -> None:
        self._started(each, context, "host")

    def _started(self, each: Claim, context: Context, by: str) -> None:
        run = self._run_of(each.pid)
        claim(run is not None, "there was no such process")
        assert run is not None
        claim(run.by == by, f"it was started by {run.by}")
        if context.line_at is not None:
            claim(near(run.began, context.line_at), f"it was started at {run.began:%H:%M:%S}")

    def event_unseen(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        claim(any(near(run.began, at) for run in self.truth.runs), "nothing was started then")

    def event_check_down(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        looks = self.truth.looked("api", _check_of(each), at - SLACK, at + EXACT)
        claim(any(not look.ok and look.text == each.seen.text for look in looks), "it did not see that then")
        if "again" in each.values and context.incident:
            earlier = self.truth.looked("api", _check_of(each), context.began - SLACK, at + EXACT)
            claim(sum(not look.ok for look in earlier) > 1, "it was not down before")

    def event_check_up(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        looks = self.truth.looked("api", _check_of(each), at - SLACK, at + EXACT)
        claim(any(look.ok and look.text == each.seen.text for look in looks), "it did not see that then")

    def event_restarting(self, each: Claim, context: Context, line: Claim) -> None:
        self._attempt(each, context, context.line_at or context.at)

    def event_rolling_back(self, each: Claim, context: Context, line: Claim) -> None:
        self._goes_back(each, context, context.line_at or context.at)

    def event_rollback_refused(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        claim(not self.truth.starts("api", "deployment", at, at + LATE), "something was deployed")

    def event_escalated(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def event_restarted_by(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("restart", each.who, context.line_at or context.at), "that person did not then")

    def event_resumed_by(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("resume", each.who, context.line_at or context.at), "that person did not then")

    def event_acknowledged(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("ack", each.who, context.line_at or context.at), "that person did not then")

    def event_silenced(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            any(deed.what in {"silence", "button silence"} and deed.who == each.who for deed in self.truth.deeds),
            "that person did not",
        )

    def event_void(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "ack" for deed in self.truth.deeds), "nobody acknowledged it")

    def event_unacknowledged(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def event_flapping(self, each: Claim, context: Context, line: Claim) -> None:
        self._changes(each.count, context, _moment(each.since, context))

    def event_stays_down(self, each: Claim, context: Context, line: Claim) -> None:
        at = context.line_at or context.at
        down, _ = self.truth.downtime("api", at - each.calm, at)
        claim(down > each.calm - LATE, f"it was down for {down} of that time")

    def event_unseen_before(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(not runs for _, runs in self.truth.opsbot), "opsbot ran all the time")

    event1_died, event1_check_down, event1_restarting = event_died, event_check_down, event_restarting

    def event1_escalated(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    # Why it needs attention

    def why_not_helped(self, each: Claim, context: Context, line: Claim) -> None:
        self._at_its_call(context, line, lambda at: self._tried_until(each.tried, context, at))

    def why_manager_gave_up(self, each: Claim, context: Context, line: Claim) -> None:
        def proof(at: datetime) -> None:
            claim(any(when <= at for when, _ in self.truth.gave_up), "it did not")
            if "tried" in each.values:
                self._tried_until(each.tried, context, at)

        self._at_its_call(context, line, proof)

    def why_nothing_left(self, each: Claim, context: Context, line: Claim) -> None:
        self._at_its_call(
            context, line, lambda at: claim(not self._restarts(self._reset(context, at), at), "opsbot restarted it")
        )

    def why_budget(self, each: Claim, context: Context, line: Claim) -> None:
        def proof(at: datetime) -> None:
            since = at - each.limit
            count = len(self._restarts(since, at)) + len(self.truth.starts("api", "manager", since, at))
            claim(each.count <= count, f"there were {count}")
            if "tried" in each.values:
                self._tried_until(each.tried, context, at)

        claim(each.limit == POLICY.window, "another time is counted")
        self._at_its_call(context, line, proof)

    def why_crash_loop(self, each: Claim, context: Context, line: Claim) -> None:
        def proof(at: datetime) -> None:
            since = at - each.limit
            crashes = len(self.truth.crashes("api", since, at))
            claim(each.count <= crashes, f"it crashed {crashes} times")
            made = len(self._restarts(since, at))
            said = each.values.get("restarts", each.values.get("restarts1", 0))
            claim(said == made, f"opsbot restarted it {made} times")

        self._at_its_call(context, line, proof)

    # How it ended

    def resolution_opsbot(self, each: Claim, context: Context, line: Claim) -> None:
        self._ended_by("opsbot", context)

    def _ended_by(self, by: str, context: Context, pid: int | None = None) -> None:
        runs = self._last_runs(context.end)
        claim(any(run.by == by and pid in {None, run.pid} for run in runs), f"its last run: {names(runs)}")

    def resolution_by_manager(self, each: Claim, context: Context, line: Claim) -> None:
        self._ended_by("manager", context, each.pid)

    def resolution_outside(self, each: Claim, context: Context, line: Claim) -> None:
        self._ended_by("host", context, each.pid)

    def resolution_person(self, each: Claim, context: Context, line: Claim) -> None:
        self._ended_by(each.who, context)

    def resolution_deployment(self, each: Claim, context: Context, line: Claim) -> None:
        self._ended_by("deployment", context)

    def resolution_unseen(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(run.began >= context.began for run in self._last_runs(context.end)), "nothing was started")

    def resolution_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "stop" and near(deed.at, context.end, SLACK) for deed in self.truth.deeds), "nobody did")

    def resolution_alone(self, each: Claim, context: Context, line: Claim) -> None:
        made = self._restarts(context.began, context.end)
        claim(not made, f"opsbot restarted it at {made[0].began:%H:%M:%S}" if made else "")

    def resolution_later(self, each: Claim, context: Context, line: Claim) -> None:
        tried = self._restarts(context.began, context.end) + self.truth.starts(
            "api", "deployment", context.began, context.end
        )
        claim(tried or self.truth.starts("api", "manager", context.began, context.end), "nothing was tried")

    def resolution_calm(self, each: Claim, context: Context, line: Claim) -> None:
        down, _ = self.truth.downtime("api", context.end - each.calm, context.end)
        for (left, runs), (back, _) in _pairs(self.truth.opsbot):
            if not runs and back - left < UNSEEN:
                down -= self.truth.downtime(
                    "api", max(left, context.end - each.calm), max(back, context.end - each.calm)
                )[0]
        claim(down < SHORT, f"it was down for {down} in that time")

    def resolution_flaps(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    # Cards of incidents

    def card_since(self, each: Claim, context: Context, line: Claim) -> None:
        self._since(each.since, context)
        if "count" in each.values:
            self._changes(each.count, context)

    def card_from_to(self, each: Claim, context: Context, line: Claim) -> None:
        self._since(each.since, context)
        if "count" in each.values:
            self._changes(each.count, context)
        stopped = any(deed.what == "stop" and near(deed.at, each.until, SLACK) for deed in self.truth.deeds)
        claim(stopped or self._well(each.until + SLACK), "it was not well then")

    def card_downtime(self, each: Claim, context: Context, line: Claim) -> None:
        self._downtime(each.down, context)

    def card_resolved(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None, "it goes on")

    def card_nobody(self, each: Claim, context: Context, line: Claim) -> None:
        taken = [
            deed
            for deed in self.truth.deeds
            if deed.what == "ack" and not deed.refused and self._start(context) <= deed.at < context.at - EXACT
        ]
        claim(not taken, f"{taken[0].who} did" if taken else "")

    def card_acknowledged(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("ack", each.who, each.at), "that person did not then")

    def card_void(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._deed("ack", each.who, each.acked), "that person did not then")

    def card_acked(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "ack" and deed.who == each.who for deed in self.truth.deeds), "that person did not")

    def card_silenced(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            any(
                deed.what in {"silence", "button silence"} and deed.who == each.who and each.until > deed.at
                for deed in self.truth.deeds
            ),
            "that person did not",
        )

    status_line_silenced = card_silenced

    def card_consequence(self, each: Claim, context: Context, line: Claim) -> None:
        looks = self.truth.looked("api", each.check, context.began - SLACK, context.end + EXACT)
        claim(
            any(not look.ok and look.text == each.seen.text for look in looks), "it did not see that in this incident"
        )

    card_seen = card_consequence

    def card_process(self, each: Claim, context: Context, line: Claim) -> None:
        found = self.truth.crashes("api", context.began - SLACK, context.end + EXACT)
        claim(any(run.exit == each.exit.text for run in found), "it did not in this incident")

    def card_no_deploy(self, each: Claim, context: Context, line: Claim) -> None:
        raise FalseClaimError("it was deployed")

    def card_event(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.at <= context.at + EXACT, "that is to come")

    def card_span(self, each: Claim, context: Context, line: Claim) -> None:
        self._since(each.since, context)

    def card_last_cause(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def card_escalated(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None, "something is left to do")

    def card_since_f(self, each: Claim, context: Context, line: Claim) -> None:
        self._since(each.since, context)

    def card_service_at(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.at <= context.at + EXACT, "that is to come")

    # What comes next

    def card_next(self, each: Claim, context: Context, line: Claim) -> None:
        claim(not context.is_over, "it is over")

    def next_nothing(self, each: Claim, context: Context, line: Claim) -> None:
        deeds = [deed.at for deed in self.truth.deeds if deed.at >= context.at]
        until = min([context.until, *deeds])
        made = self._restarts(context.at + EXACT, until - EXACT)
        claim(not made, f"opsbot restarted it at {made[0].began:%H:%M:%S}" if made else "")

    next_counted = next_nothing

    def next_steps(self, each: Claim, context: Context, line: Claim) -> None:
        since = self._reset(context, context.at)
        left = each.values.get("left")
        least, most = len(self._restarts(since, context.at - EXACT)), len(self._restarts(since, context.at + EXACT))
        count = 0 if left is None else left.count
        claim(POLICY.attempts - most <= count <= POLICY.attempts - least, f"{least} of {POLICY.attempts} were made")

    def left_up_to(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    left_up_to_one = left_up_to_more = left_one_more = left_up_to

    # Titles

    def title_down(self, each: Claim, context: Context, line: Claim) -> None:
        claim(not context.is_over, "it is over")

    def title_flapping(self, each: Claim, context: Context, line: Claim) -> None:
        claim(not context.is_over, "it is over")

    def title_was_down(self, each: Claim, context: Context, line: Claim) -> None:
        self._downtime(each.down, context)

    def title_was_flapping(self, each: Claim, context: Context, line: Claim) -> None:
        self._changes(each.count, context)

    def title_attention(self, each: Claim, context: Context, line: Claim) -> None:
        claim(not context.is_over, "it is over")

    def title_attended(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None, "it goes on")

    # Deployments

    def _span_of(self, number: int) -> tuple[datetime, datetime]:
        created = self.known.created.get(number, self.truth.runs[0].began - 60 * SECOND)
        return created - MOMENT, self.known.finished.get(number, self.ends) + MOMENT

    def _deployed(self, commit: str, since: datetime, until: datetime) -> list[Run]:
        return [run for run in self.truth.starts("api", "deployment", since, until) if run.commit.startswith(commit)]

    def _proved(self, run: Run) -> bool:
        """Whether it served for as long as a release has to."""
        soak = service(self.world.folder).soak
        down, _ = self.truth.downtime("api", run.began, (run.ended or self.ends))
        return (run.ended or self.ends) - run.began - down >= soak - 3 * SECOND

    def sentence_runs(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(context.deployment)
        runs = self._deployed(each.to.commit, since, until)
        claim(runs, "it was not started")
        claim(any(map(self._proved, runs)), "it never served for long enough")
        took = self.known.finished[context.deployment] - self.known.created[context.deployment]
        claim(abs(each.took - took) <= EXACT, f"it took {took}")

    sentence_rolled_back_by = sentence_runs

    def sentence_failed(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(context.deployment or each.number)
        claim(not self.truth.starts("api", "deployment", since, until), "something was started")

    def sentence_undone(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(each.number)
        runs = self.truth.starts("api", "deployment", since, until)
        claim(runs, "nothing was started")
        claim(self._was_live(each.back, since + EXACT, until + SECOND), "that was not live after it")
        if "commit" in each.to.values:
            self._failed(each.to.commit, since, until)

    def _failed(self, commit: str, since: datetime, until: datetime) -> None:
        runs = self._deployed(commit, since, until)
        for run in runs:
            down, _ = self.truth.downtime("api", run.began, min(run.ended or until, until))
            crashed = run.crashed or run.ended is not None
            claim(crashed or down > timedelta(0), f"run {run.pid} of it was well")

    def sentence_undone_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self.truth.run_at("api", context.at) is None, "it runs")

    def sentence_stuck(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(each.number)
        claim(self.truth.starts("api", "deployment", since, until), "nothing was started")

    def sentence_skipped(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(each.number)
        claim(not self.truth.starts("api", "deployment", since, until), "something was started")

    def sentence_going(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def to_sha(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(code.commit.startswith(each.commit) for code in self.truth.code.values()), "there is no such commit")

    def to_branch(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    to_release = to_branch

    def by_person(self, each: Claim, context: Context, line: Claim) -> None:
        created = self.known.created[context.deployment]
        found = [deed for deed in self.truth.deeds if deed.who == each.who and near(deed.at, created, SLACK)]
        claim(found, f"that person asked for nothing at {created:%H:%M:%S}")

    def by_opsbot(self, each: Claim, context: Context, line: Claim) -> None:
        created = self.known.created[context.deployment]
        asked = [
            deed
            for deed in self.truth.deeds
            if deed.what in {"deploy", "rollback"} and deed.detail == str(context.deployment)
        ]
        claim(not asked, f"{asked[0].who} asked for it" if asked else "")
        if each.origin == "webhook":
            claim(any(code.at <= created + EXACT for code in self.truth.code.values()), "nobody pushed")

    by_capital_person, by_capital_opsbot = by_person, by_opsbot

    def phase_live(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    phase_undone = phase_failed = phase_stuck = phase_skipped = phase_replaced = phase_going = phase_live

    def dline_line(self, each: Claim, context: Context, line: Claim) -> None:
        """How a deployment ended, and when, and by whom."""
        since, until = self._span_of(each.number)
        runs = self.truth.starts("api", "deployment", since, until)
        ended = each.phase.rule.partition(".")[2]
        commit = each.values.get("commit", "")
        if ended == "live":
            claim([run for run in runs if run.commit.startswith(commit)], "it was never started")
            if each.phase.text == "live" and context.where != "channel":
                claim(self._is_live(commit, context), f"{context.live[:10]} is live")
        elif ended == "undone":
            back = each.note.values.get("back", "") if "note" in each.values else ""
            claim(self._was_live(back, since + EXACT, until + SECOND), "nothing was rolled back")
            self._failed(commit, since, until)
        elif ended in {"failed", "skipped"}:
            claim(not runs, "something was started")
        elif ended == "stuck":
            claim(runs, "nothing was started")
        if each.number in self.known.finished and ended != "going":
            claim(
                near(each.at, self.known.finished[each.number], SLACK),
                f"it ended at {self.known.finished[each.number]:%H:%M:%S}",
            )
        asked = [
            deed for deed in self.truth.deeds if deed.what in {"deploy", "rollback"} and deed.detail == str(each.number)
        ]
        claim(not asked or asked[0].who == each.who, f"{asked[0].who} asked for it" if asked else "")

    def _is_live(self, commit: str, context: Context) -> bool:
        """Whether that is live, or a deployment changes it at the moment."""
        going = any(
            self.known.created[each] - EXACT <= context.at <= self.known.finished.get(each, self.ends) + EXACT
            for each in self.known.created
        )
        return going or context.live.startswith(commit)

    def card_head(self, each: Claim, context: Context, line: Claim) -> None:
        created = self.known.created[context.deployment]
        before = each.values.get("before")
        claim(
            before is None or self._was_live(before, created - 2 * SECOND, created + 2 * SECOND),
            f"{self.world.live_at(created)[:10]} was live",
        )

    def _was_live(self, commit: str, since: datetime, until: datetime) -> bool:
        found = [self.world.live_at(since), *(each for at, each in self.world.lived if since <= at <= until)]
        return any(each.startswith(commit) for each in found)

    def card_by(self, each: Claim, context: Context, line: Claim) -> None:
        claim(near(each.at, self.known.created[context.deployment], SLACK), "it began at another time")

    def card_reason(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def reason_incident(self, each: Claim, context: Context, line: Claim) -> None:
        opened = self.known.opened.get(each.number)
        if opened is None:
            claim(self._silenced(context.at), "there is no such incident")
            return
        run = [run for run in self.truth.runs_of("api", opened) if run.by == "deployment"]
        claim(run, "no release was live then")
        claim(opened - run[-1].began <= POLICY.blame + SLACK, "it began long after the release")

    def reason_retry(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "button retry" for deed in self.truth.deeds), "nobody asked for that")

    def card_release(self, each: Claim, context: Context, line: Claim) -> None:
        commit = self.known.commits.get(context.deployment, "")
        claim(commit.startswith(each.release) or each.release.startswith(commit), "it is another's")

    def card_step(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def step_fetch(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    step_prepare = step_verify = step_wait = step_stop = step_restart = step_fetch

    def step_switch(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(code.commit.startswith(each.commit) for code in self.truth.code.values()), "there is no such commit")

    step_back = step_verify_again = stepnote_commit = step_switch

    def stepnote_pid(self, each: Claim, context: Context, line: Claim) -> None:
        run = self._run_of(each.pid)
        claim(run is not None and run.by == "deployment", "no deployment started it")

    def stepnote_stays_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "stop" for deed in self.truth.deeds), "nobody stopped it")

    def stepnote_files(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.files == 1, "a commit has one file")
        claim("text" not in each.values, "nobody changed a file by hand")

    def card_more_commits(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.count < len(self.truth.code), "so many were not pushed")

    def card_why(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def card_blocked(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(near(at, each.at, SLACK) for at in self.known.finished.values()), "nothing failed then")

    def card_stuck_next(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def card_nothing_runs(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self.truth.run_at("api", context.at) is None, "it runs")

    def hold_waits(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._rolled_back(context.at), "there was no rollback")

    def hold_paused(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "hold" and deed.who == each.who for deed in self.truth.deeds), "nobody did")

    def holdwhy_rollback(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.number in self.known.created, "there is no such deployment")

    # Verification

    def verify_passed(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.count == len(CHECKS), f"there are {len(CHECKS)}")

    def verify_waiting_for(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    verify_soaking = verify_doubt = verify_interrupted = verify_interrupted_note = verify_waiting_for

    def verify_failed_again(self, each: Claim, context: Context, line: Claim) -> None:
        count = each.values.get("count", 1)
        streak = most = 0
        for look in self.truth.looked("api", each.check, self.truth.runs[0].began, context.at + EXACT):
            streak = 0 if look.ok else streak + 1
            most = max(most, streak)
        claim(count <= most, f"it failed {most} times in a row")

    def verify_not_healthy(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.limit == service(self.world.folder).verify_timeout, "it has another time limit")

    def verify_died(self, each: Claim, context: Context, line: Claim) -> None:
        exit_ = each.values.get("exit")
        crashed = [
            run for run in self.truth.runs if run.crashed and run.ended is not None and run.ended <= context.at + EXACT
        ]
        claim([run for run in crashed if exit_ is None or run.exit == exit_.text], "it did not")
        if "after" in each.values:
            claim(
                any(abs((run.ended or run.began) - run.began - each.after) <= EXACT for run in crashed),
                "it lived for another time",
            )

    def verify_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "stop" for deed in self.truth.deeds), "nobody did")

    def verify_others(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(run.by not in {"deployment", "opsbot", "manager"} for run in self.truth.runs), "nobody did")

    def missing_check(self, each: Claim, context: Context, line: Claim) -> None:
        looks = self.truth.looked("api", each.check, context.at - 3600 * SECOND, context.at + EXACT)
        claim(any(look.text == each.seen.text for look in looks), "it did not see that")

    missing1_check = missing_check

    def missing_no_answer(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    missing1_no_answer = missing_not_running = missing_no_answer

    def note_rolled_back(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(run.by == "deployment" and run.commit.startswith(each.back) for run in self.truth.runs), "it was not")

    def note_not_rolled_back(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    note_failed = note_not_rolled_back

    # States

    def _state(self, state: Claim, context: Context) -> None:
        match state.text:
            case "healthy":
                claim(self._well(context.at), "it does not serve")
                claim(self.truth.run_at("api", context.at) is not None, "it does not run")
            case "down":
                claim(self._unwell(context.at), "it serves")
            case "degraded":
                claim(self._unwell(context.at), "it serves")
            case "stopped by a person":
                last = [deed for deed in self.truth.deeds if deed.what == "stop" and deed.at <= context.at]
                claim(last, "nobody did")
                claim(self.truth.run_at("api", context.at) is None, "it runs")
            case "stopped by opsbot":
                claim(self.truth.run_at("api", context.at) is None, "it runs")
            case "starting":
                run = self.truth.run_at("api", context.at)
                claim(run is None or context.at - run.began < LATE, "it was started long ago")
            case "unstable":
                pass
            case "deploying":
                claim(
                    any(
                        self.known.created[each] <= context.at + EXACT
                        for each in self.known.created
                        if each not in self.known.finished or self.known.finished[each] >= context.at - EXACT
                    ),
                    "nothing is being deployed",
                )
            case "unknown":
                run = self.truth.run_at("api", context.at)
                claim(run is None or context.at - run.began < LATE, "that can be known")

    def state_state(self, each: Claim, context: Context, line: Claim) -> None:
        self._state(each, context)

    state_stopped = state_state

    def status_head_healthy(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._well(context.at), "it does not serve")

    def status_head_bad(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    status_head_other = status_head_bad

    def status_head_details(self, each: Claim, context: Context, line: Claim) -> None:
        if "since" in each.values and context.opened is not None:
            claim(near(each.since, context.opened) or True, "")

    def status_reason_pass(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.count == len(CHECKS), f"there are {len(CHECKS)}")
        claim(self._well(context.at), "they do not")

    def status_reason_verified(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.number in self.known.finished, "that deployment has not ended")

    status_reason_verified_back = status_reason_verified

    def status_reason_check_down(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(not look.ok for look in self._last_looks(each.check, context)), "it passes")

    status_reason_check_fails = status_reason_check_down

    def status_reason_not_run(self, each: Claim, context: Context, line: Claim) -> None:
        run = self.truth.run_at("api", context.at)
        claim(run is None or context.at - run.began < LATE, "it has")

    status_reason_not_passed = status_reason_not_run

    def status_reason_retrying(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self.truth.run_at("api", context.at) is None, "it runs")

    status_reason_failed = status_reason_not_running = status_reason_retrying

    def status_reason_starting(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    status_reason_phase = status_reason_starting
    status_reason_incident = status_reason_starting

    def status_reason_flapping(self, each: Claim, context: Context, line: Claim) -> None:
        self._changes(each.count, context)

    def coming_next_recovering(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.incident or self._silenced(context.at) or self._unwell(context.at), "no incident is open")

    coming_next_attention = coming_next_recovering

    def coming_next_stays(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self.truth.run_at("api", context.at) is None, "it runs")

    coming_next_starts = coming_next_stays

    def coming_next_paused_rollback(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._rolled_back(context.at), "there was no rollback")
        since = context.said_at + (SECOND if each.at.rule == "when.t" else 60 * SECOND)
        lifted = [deed for deed in self.truth.deeds if deed.what == "resume" and since < deed.at < context.at - EXACT]
        claim(not lifted, f"{lifted[0].who} resumed it" if lifted else "")

    def coming_next_paused(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "hold" and deed.who == each.who for deed in self.truth.deeds), "nobody did")

    def coming_next_silenced(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            any(deed.what in {"silence", "button silence"} and deed.who == each.who for deed in self.truth.deeds),
            "nobody did",
        )
        until = _moment(each.until, context)
        claim(until is not None and until + 60 * SECOND > context.at, "that is over")

    def status_line_service(self, each: Claim, context: Context, line: Claim) -> None:
        if "live" in each.values:
            claim(self._is_live(each.live, context), f"{context.live[:10]} is live")
        if "started" in each.values:
            self._runs_since(each.started, context)

    def _runs_since(self, at: datetime, context: Context) -> Run:
        """The run that lives, or lived until this moment."""
        runs = [self.truth.run_at("api", context.at - each) for each in (timedelta(0), timedelta(milliseconds=1))]
        found = [run for run in runs if run is not None and near(run.began, at)]
        claim(found, f"it runs: {names(run for run in runs if run is not None)}")
        return found[0]

    def status_line_process(self, each: Claim, context: Context, line: Claim) -> None:
        run = self._runs_since(each.started, context)
        claim(run.pid == each.pid, f"{run.pid} runs")
        runs = self.truth.runs[: self.truth.runs.index(run) + 1]
        made = next(number for number, other in enumerate(reversed(runs)) if other.by != "manager")
        claim(each.count == made, f"its manager started it {made} times")

    def status_line_last_run(self, each: Claim, context: Context, line: Claim) -> None:
        ended = [run for run in self.truth.runs if run.ended is not None and run.ended <= context.at]
        claim(ended and ended[-1].exit == each.exit.text, f"it ended: {ended[-1].exit if ended else 'never'}")

    def status_line_release(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._is_live(each.release, context), f"{context.live[:10]} is live")
        code = next(code for code in self.truth.code.values() if code.commit.startswith(each.release))
        claim(each.title == code.title, f"it is {code.title}")

    def status_line_deploying(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            each.number not in self.known.finished or self.known.finished[each.number] >= context.at - EXACT,
            "it has ended",
        )

    def status_line_incident(self, each: Claim, context: Context, line: Claim) -> None:
        claim(near(each.since, self.known.opened.get(each.number, each.since)), "it began at another time")
        claim(self.known.closed.get(each.number, self.ends + SLACK) > context.at - EXACT, "it is over")

    def status_line_branch(self, each: Claim, context: Context, line: Claim) -> None:
        head = each.values.get("head", "")
        claim(any(code.commit.startswith(head) for code in self.truth.code.values()), "there is no such commit")

    def status_line_check(self, each: Claim, context: Context, line: Claim) -> None:
        looks = self._last_looks(each.check, context)
        if each.verdict.text == "up":
            claim(any(look.ok for look in looks), "it fails")
        elif each.verdict.text == "down":
            claim(any(not look.ok for look in looks), "it passes")
        if "seen" in each.values:
            claim(any(look.text == each.seen.text for look in looks), "it saw something else")

    def _last_looks(self, check: str, context: Context) -> list[Look]:
        looks = self.truth.looked("api", check, self.truth.runs[0].began, context.at)
        return [look for look in looks if look.at > context.at - 2 * SLACK or look in looks[-4:]]

    def status_line_check_now(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(not look.ok for look in self._last_looks(each.check, context)), "it passes")

    def status_line_health(self, each: Claim, context: Context, line: Claim) -> None:
        looks = self.truth.looked("api", each.check, context.at - SLACK, context.at)
        claim(
            any(look.text == each.seen.text and look.ok is (each.sign.text == "🟢") for look in looks),
            "it did not see that",
        )

    def status_line_unjudged(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    # The board

    def board_line_healthy(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._well(context.at), "it does not serve")

    def board_line_service(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def board_line_change(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def board_note_attention(self, each: Claim, context: Context, line: Claim) -> None:
        if not self._silenced(context.at):
            self.doing_attention(each, context, line)

    def board_note_acknowledged(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "ack" and deed.who == each.who for deed in self.truth.deeds), "that person did not")

    def board_note_incident(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._card_of(each.number) == each.message, "that is another message")
        claim(self.known.closed.get(each.number, self.ends + SLACK) > context.at - EXACT, "it is over")

    def board_note_live(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._is_live(each.live, context), f"{context.live[:10]} is live")

    def board_note_started(self, each: Claim, context: Context, line: Claim) -> None:
        self._runs_since(each.at, context)

    # /why

    def why_head_down(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.opened is not None, "there was no incident")
        if isinstance(each.at, Claim):
            self._since(context.said_at, context)

    def why_head_flapped(self, each: Claim, context: Context, line: Claim) -> None:
        self._changes(each.count, context)

    def why_head_stopped(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "stop" for deed in self.truth.deeds), "nobody stopped it")

    def why_head_dead(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self.truth.run_at("api", context.at) is None, "it runs")

    def why_head_nothing(self, each: Claim, context: Context, line: Claim) -> None:
        claim(
            not [each for each, opened in self.known.opened.items() if opened < context.at - SLACK],
            "there was an incident",
        )

    def after_deployment(self, each: Claim, context: Context, line: Claim) -> None:
        """The release that was live when it began is to blame, and no other."""
        run = [run for run in self.truth.runs_of("api", context.began) if run.commit]
        claim(run, "nothing ran")
        commit = each.deployed.values.get("commit", "")
        around = self._last_runs(context.began)
        claim(
            any(one.commit.startswith(commit) for one in [run[-1], *around]), f"{run[-1].commit[:10]} ran when it began"
        )
        finished = self.known.finished.get(each.deployed.number)
        if finished is not None:
            self._span(each.span, context.began - finished)

    def _span(self, said: timedelta, real: timedelta) -> None:
        off = 3 * SECOND if said < 100 * SECOND else 33 * SECOND if said < 7200 * SECOND else 1900 * SECOND
        claim(abs(said - real) <= off, f"it was {real}")

    def after_during(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(each.deployed.number)
        claim(since <= context.began <= until, "it was not going on")

    def after_person(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._restarted(each.who, context.began - each.span), "that person did not then")

    def _restarted(self, who: str, at: datetime) -> bool:
        return any(
            deed.what == "restart" and deed.who == who and near(deed.at, at, 31 * SECOND) for deed in self.truth.deeds
        )

    def deployed_deployment(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.number in self.known.created or each.number <= 2, "there is no such deployment")
        commit = each.values.get("commit")
        known = self.known.commits.get(each.number)
        claim(commit is None or known is None or known.startswith(commit), f"it brought {known}")
        asked = [
            deed for deed in self.truth.deeds if deed.what in {"deploy", "rollback"} and deed.detail == str(each.number)
        ]
        claim(not asked or asked[0].who == each.who, f"{asked[0].who} asked for it" if asked else "")

    def done_restarted(self, each: Claim, context: Context, line: Claim) -> None:
        self._restarted_so_often(1, each, context)

    def done_restarted_times(self, each: Claim, context: Context, line: Claim) -> None:
        self._restarted_so_often(each.count, each, context)

    def _restarted_so_often(self, count: int, each: Claim, context: Context) -> None:
        made = self._restarts(context.began - EXACT, context.end + EXACT)
        before = self._restarts(context.began + EXACT, context.end - EXACT)
        claim(len(before) <= count <= len(made), f"opsbot restarted it {len(made)} times")
        claim(any(near(run.began, context.said_at) for run in made), f"the last was at {made[-1].began:%H:%M:%S}")

    def done_event(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def ending_flaps(self, each: Claim, context: Context, line: Claim) -> None:
        pass

    def ending_down(self, each: Claim, context: Context, line: Claim) -> None:
        claim(not context.is_over, "it is over")
        self._span(each.span, context.at - context.began)
        claim(self._unwell(context.at), "it serves")

    def ending_recovered(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None, "it is not over")
        if isinstance(each.at, Claim):
            claim(near(context.said_at, context.end), "at another time")
        real, edges = self.truth.downtime("api", context.began - SLACK, context.end + EXACT)
        if edges < 3 and not self._away(context.began, context.end):
            self._span(each.span, real)

    def deed_deployment(self, each: Claim, context: Context, line: Claim) -> None:
        runs = self.truth.starts("api", "deployment", *self._span_of(each.deployed.number))
        if each.deployed.number in self.known.created:
            claim(
                bool(runs) == (each.went.text in {"went live", "was rolled back", "needs attention"}),
                f"{len(runs)} were started",
            )

    def deed_restart(self, each: Claim, context: Context, line: Claim) -> None:
        run = self._run_of(each.pid)
        claim(run is not None and run.by == each.who, "that person did not")

    def deed_restart_failed(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.what == "restart" and deed.who == each.who for deed in self.truth.deeds), "that person did not")

    def deed_person(self, each: Claim, context: Context, line: Claim) -> None:
        claim(any(deed.who == each.who for deed in self.truth.deeds), "that person did nothing")

    def deed_incident(self, each: Claim, context: Context, line: Claim) -> None:
        claim(each.number in self.known.opened or self._silenced(context.at), "there is no such incident")

    deed_incident_over = deed_incident

    # History

    def history_head_head(self, each: Claim, context: Context, line: Claim) -> None:
        counts = [
            2 + sum(at <= context.at - late for at in self.known.created.values())
            for late in (timedelta(0), timedelta(milliseconds=1))
        ]
        claim(each.deployments in counts, f"there were {counts[0]} deployments")

    def iline_open(self, each: Claim, context: Context, line: Claim) -> None:
        claim(near(each.since, self.known.opened.get(each.number, each.since)), "it began at another time")
        claim(self.known.closed.get(each.number, self.ends + SLACK) > context.at - EXACT, "it is over")

    iline_flapping = iline_open

    def iline_over(self, each: Claim, context: Context, line: Claim) -> None:
        opened, closed = self.known.opened.get(each.number), self.known.closed.get(each.number)
        if opened is None:
            claim(self._silenced(context.at), "there is no such incident")
            return
        claim(closed is not None, "it is not over")
        assert closed is not None
        claim(abs(each.lasted - (closed - opened)) <= EXACT + 0.02 * each.lasted, f"it lasted {closed - opened}")

    def _one_is_live(self, lines: list[str], answer: Answer) -> None:
        live = []
        for line in lines:
            try:
                found = GRAMMAR.parse("history_line", line)
            except UnknownSentenceError:
                continue
            if found.rule == "history_line.deployment" and found.line.phase.text == "live":
                live.append(line)
        if len(live) > 1:
            self.false.append(f"{answer.at:%H:%M:%S} history: {len(live)} deployments are live: {live}")

    # The command line

    def up_length(self, each: Claim, context: Context, line: Claim) -> None:
        runs = [self.truth.run_at("api", context.at - late) for late in (timedelta(0), timedelta(milliseconds=1))]
        real = [context.at - run.began for run in runs if run is not None]
        claim(any(abs(each.up - one) <= EXACT + 0.02 * one for one in real), f"it has run for {real}")

    def up_none(self, each: Claim, context: Context, line: Claim) -> None:
        lived = self.truth.run_at("api", context.at)
        claim(lived is None or lived.began >= context.at - EXACT, "it runs")

    pid_none = up_none

    def pid_pid(self, each: Claim, context: Context, line: Claim) -> None:
        runs = [self.truth.run_at("api", context.at - late) for late in (timedelta(0), timedelta(milliseconds=1))]
        claim(any(run is not None and run.pid == each.pid for run in runs), "another process runs")

    def cli_status_line_service(self, each: Claim, context: Context, line: Claim) -> None:
        claim(self._is_live(each.live, context), f"{context.live[:10]} is live")
        code = next(code for code in self.truth.code.values() if code.commit.startswith(each.live))
        claim(each.title == code.title, f"it is {code.title}")

    def cli_status_line_check(self, each: Claim, context: Context, line: Claim) -> None:
        self.status_line_check(each, context, line)

    def cli_status_line_check_now(self, each: Claim, context: Context, line: Claim) -> None:
        self.status_line_check_now(each, context, line)

    def cli_status_line_incident(self, each: Claim, context: Context, line: Claim) -> None:
        opened = self.known.opened.get(each.number)
        if "age" in each.values and opened is not None:
            self._old(each.age, context.at - opened)

    def _old(self, said: timedelta, real: timedelta) -> None:
        claim(abs(said - real) <= EXACT + 0.02 * real, f"it is {real}")

    def cli_status_line_deploying(self, each: Claim, context: Context, line: Claim) -> None:
        self.status_line_deploying(each, context, line)

    def cli_history_line_deployment(self, each: Claim, context: Context, line: Claim) -> None:
        since, until = self._span_of(each.number)
        runs = self.truth.starts("api", "deployment", since, until)
        commit, ended = each.values.get("commit", ""), each.phase.rule.partition(".")[2]
        if each.phase.text == "live":
            claim(self._is_live(commit, context), f"{context.live[:10]} is live")
        if ended in {"live", "undone", "stuck"}:
            claim([run for run in runs if run.commit.startswith(commit)], "it was never started")
        if ended in {"failed", "skipped"}:
            claim(not runs, "something was started")
        created, finished = self.known.created.get(each.number), self.known.finished.get(each.number)
        if created is not None:
            claim(near(context.said_at, created), f"it began at {created:%H:%M:%S}")
            if finished is not None and finished <= context.at:
                self._old(each.took, finished - created)
        self._asked_by(each.number, each.who)

    def _asked_by(self, number: int, who: str) -> None:
        asked = [
            deed for deed in self.truth.deeds if deed.what in {"deploy", "rollback"} and deed.detail == str(number)
        ]
        claim(not asked or asked[0].who == who, f"{asked[0].who} asked for it" if asked else "")

    def cli_history_line_over(self, each: Claim, context: Context, line: Claim) -> None:
        claim(context.closed is not None, "it is not over")
        assert context.closed is not None
        self._old(each.lasted, context.closed - context.began)
        if "down" in each.values:
            self._downtime(each.down, context)

    def cli_history_line_open(self, each: Claim, context: Context, line: Claim) -> None:
        claim(not context.is_over, "it is over")
        self._old(each.age, context.at - context.began)
        if "count" in each.values:
            self._changes(each.count, context)

    # Answers to a restart

    def restart_head_passed(self, each: Claim, context: Context, line: Claim) -> None:
        run = self._run_of(each.pid)
        claim(run is not None and self.truth.serves("api", context.at), "it does not serve")

    def restart_head_failed(self, each: Claim, context: Context, line: Claim) -> None:
        down, _ = self.truth.downtime("api", context.at - 40 * SECOND, context.at)
        run = self._run_of(each.pid)
        claim(down > timedelta(0) or (run is not None and run.ended is not None), "it served all the time")

    # The last lines, buttons, and whether a message is up to date

    def _shown_log(self, shown: RenderedMessage, context: Context) -> None:
        """The log lines of a card are those of one run that failed, and not of an earlier one."""
        pids = {int(line.split("run ")[1].split()[0]) for line in self._log(shown.text) if "run " in line}
        if not pids or not context.incident:
            return
        for pid in pids:
            run = self._run_of(pid)
            if run is None or (run.ended is not None and run.ended < context.began - SLACK):
                self.false.append(
                    f"{context.at:%H:%M:%S} incident {context.incident}: shows the log of run {pid}, which ended before"
                )

    def _is_up_to_date(self, post: Post) -> None:
        """What a message offers goes with what it says; one about an incident that is over is no alarm any more."""
        shown = post.shown
        incident = self._context(post, len(post.versions) - 1).incident
        closed = self.known.closed.get(incident) if incident else None
        if post.where or closed is None or self.ends - closed < SLACK:
            return
        offered = {button.action for button in shown.buttons} - {"logs"}
        if offered or shown.colour not in {GREEN, 0x95A5A6}:
            self.false.append(
                f"incident {incident} is over since {closed:%H:%M:%S}, and {shown.content[:60]!r} still offers "
                f"{sorted(offered)} in colour {shown.colour:06x}"
            )


def _moment(value: object, context: Context) -> datetime | None:
    """A time as it is said: as a value, or written out, without the date where that is today."""
    if isinstance(value, Claim):
        value = value.values.get("at")
    if isinstance(value, datetime) or value is None:
        return value
    text = str(value).removesuffix(" UTC")
    day, _, time = text.rpartition(" ")
    found = datetime.fromisoformat(f"{day or f'{context.at:%Y-%m-%d}'} {time}")
    return found.replace(tzinfo=context.at.tzinfo)


def _check_of(each: Claim) -> str:
    return str(each.label.kind.text).lower()


def _pairs(looks: list[Any]) -> list[tuple[Any, Any]]:
    return list(pairwise(looks))


Proof = Callable[[Claim, Context, Claim], None]
assert MEMORY_MAX
