from datetime import UTC, datetime

import pytest

from opsbot.core.inhibitors import InhibitorCode
from opsbot.core.message import Message, message
from opsbot.messages import render

AT = datetime(2026, 3, 1, 12, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("why", "text"),
    [
        (
            message(InhibitorCode.IN_VOICE, channel="meeting", people=1, until=AT),
            "in #meeting with 1 person, at the latest 2026-03-01 12:15 UTC",
        ),
        (
            message(InhibitorCode.IN_VOICE, channel="", people=4, until=AT),
            "in a voice channel with 4 people, at the latest 2026-03-01 12:15 UTC",
        ),
        (
            message(InhibitorCode.LOGINS_SPENT, starts=10, by_manager=3, limit=20),
            (
                "opsbot does not start it any more, because half of its logins are spent: 10 starts in 24 hours, "
                "3 of them by the service manager itself; Discord allows 20 logins, then it resets the bot's token"
            ),
        ),
        (
            message(InhibitorCode.WINDOW, window="night", until=AT),
            "the maintenance window night lasts until 2026-03-01 12:15 UTC",
        ),
    ],
)
def test_a_reason_to_wait_in_words(why: Message, text: str) -> None:
    assert render(why) == text
