"""Faults are counted by the module that met them."""

import logging

from opsbot.runtime.error_counter import ErrorCounter


def test_what_is_logged_with_its_traceback_is_counted_by_module_and_a_sentence_is_not() -> None:
    counter, root = ErrorCounter(), logging.getLogger()
    root.addHandler(counter)
    try:
        for _ in range(2):
            try:
                int("no number")
            except ValueError:
                logging.getLogger("cogs.delivery.delivery_loop").exception("the editor failed; it goes on")
        logging.getLogger("opsbot.daemon.app").error("opsbot cannot start")
        logging.getLogger("opsbot.daemon.app").warning("late", exc_info=ValueError())
    finally:
        root.removeHandler(counter)
    assert counter.counted == {"cogs.delivery.delivery_loop": 2}
