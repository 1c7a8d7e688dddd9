"""When people are reminded of an incident, and when it is escalated."""

from datetime import UTC, datetime, timedelta

from opsbot.core.reminders import ReminderSchedule, escalated, reminded

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DISTANCES = tuple(timedelta(minutes=each) for each in (30, 60, 120, 240))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_reminders_come_with_growing_distance_and_the_last_is_repeated() -> None:
    paging, came = ReminderSchedule(1, START), []
    for minute in range(24 * 60):
        after = reminded(paging, DISTANCES, START, None, at(minute))
        if after is not None:
            came.append(minute)
            paging = after
    assert came == [30, 90, 210, 450, 690, 930, 1170, 1410]


def test_an_alarm_that_was_told_late_is_reminded_of_late() -> None:
    assert reminded(ReminderSchedule(1, START), DISTANCES, None, None, at(500)) is None
    assert reminded(ReminderSchedule(1, START), DISTANCES, at(200), None, at(229)) is None
    assert reminded(ReminderSchedule(1, START), DISTANCES, at(200), None, at(230)) is not None


def test_after_a_silence_it_counts_anew() -> None:
    assert reminded(ReminderSchedule(1, START), DISTANCES, START, at(60), at(89)) is None
    assert reminded(ReminderSchedule(1, START), DISTANCES, START, at(60), at(90)) is not None


def test_no_distances_are_no_reminders() -> None:
    assert reminded(ReminderSchedule(1, START), (), START, None, at(9000)) is None


def test_it_is_escalated_once_whether_or_not_discord_was_told() -> None:
    after = timedelta(minutes=15)
    assert escalated(ReminderSchedule(1, START), after, None, at(14)) is None
    done = escalated(ReminderSchedule(1, START), after, None, at(15))
    assert done is not None
    assert escalated(done, after, None, at(500)) is None


def test_it_is_never_escalated_where_that_is_off_and_later_after_a_silence() -> None:
    assert escalated(ReminderSchedule(1, START), None, None, at(500)) is None
    assert escalated(ReminderSchedule(1, START), timedelta(minutes=15), at(60), at(74)) is None
    assert escalated(ReminderSchedule(1, START), timedelta(minutes=15), at(60), at(75)) is not None
