"""`/windows`: the maintenance windows as a message. Pure."""

from cogs.cards.rendered import BLUE, DESCRIPTION, GREY, RenderedMessage
from cogs.cards.text import escape, fit, moment
from opsbot.core.windows import Maintenance, Span
from opsbot.messages.windows import window_effects


def windows(found: Maintenance) -> RenderedMessage:
    if not found.active and not found.coming:
        return RenderedMessage("No maintenance window is open, and none is to come.")
    open_ = ", ".join(escape(span.window.name, 64) for span in found.active)
    content = f"🛠️ Maintenance: {open_} now." if open_ else "No maintenance window is open now."
    lines = [open_line(span) for span in found.active] + [_coming(span) for span in found.coming]
    return RenderedMessage(content, "Maintenance windows", fit(lines, DESCRIPTION), BLUE if open_ else GREY)


def open_line(span: Span) -> str:
    name, end = escape(span.window.name, 64), span.end
    return f"🟦 **{name}** until {moment(end, 'F')} ({moment(end)}): {window_effects(span.window, escape)}"


def _coming(span: Span) -> str:
    times = f"{moment(span.begin, 'F')} ({moment(span.begin)}) to {moment(span.end, 't')}"
    return f"▫️ **{escape(span.window.name, 64)}** {times}: {window_effects(span.window, escape)}"
