import logging

from opsbot.core.health import ProbeCode
from opsbot.core.message import MessageError, message, plain
from opsbot.messages.logs import RenderingFilter


def logged(*args: object) -> str:
    record = logging.LogRecord("opsbot", logging.INFO, __file__, 1, " ".join(["%s"] * len(args)), args, None)
    RenderingFilter().filter(record)
    return record.getMessage()


def test_messages_and_errors_are_rendered_in_log_lines() -> None:
    error = MessageError(message(ProbeCode.PROCESS_GONE, pid=7))

    assert logged("api:", plain("restart"), error, 3) == "api: restart process 7 is gone 3"


def test_an_error_names_its_code_and_parameters_in_a_traceback() -> None:
    assert str(MessageError(message(ProbeCode.PROCESS_GONE, pid=7))) == "probe.process-gone {'pid': 7}"
    assert str(MessageError(message(ProbeCode.CONNECTION_RESET))) == "probe.connection-reset"
