"""Known secrets are found by value wherever they turn up."""

import io
import logging

from opsbot.redaction import HIDDEN, RedactingFilter, Redactor, is_secret_name


def test_a_known_secret_is_hidden_and_the_rest_is_kept() -> None:
    assert Redactor(["hunter2hunter2"])("login with hunter2hunter2 failed") == f"login with {HIDDEN} failed"


def test_a_short_value_is_left_for_it_would_be_found_everywhere() -> None:
    assert Redactor(["a", "1234567"])("a 1234567") == "a 1234567"


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    assert Redactor(["secret-one", "secret-one-and-more"])("secret-one-and-more") == HIDDEN


def test_names_tell_which_values_are_secret() -> None:
    assert is_secret_name("DISCORD_TOKEN")
    assert is_secret_name("DB_PASSWORD")
    assert is_secret_name("OPENAI_API_KEY")
    assert not is_secret_name("PORT")
    assert not is_secret_name("LOG_LEVEL")


def test_a_log_record_and_its_traceback_are_clean() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RedactingFilter(Redactor(["hunter2hunter2"])))
    log = logging.getLogger("test-redaction")
    log.propagate = False
    log.addHandler(handler)
    try:
        int("hunter2hunter2")
    except ValueError:
        log.exception("it was %s", "hunter2hunter2")
    log.removeHandler(handler)
    assert "hunter2" not in out.getvalue()
    assert out.getvalue().count(HIDDEN) >= 2
