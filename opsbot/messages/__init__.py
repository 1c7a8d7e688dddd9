"""From messages to text: the one place where codes and parameters become sentences.

    render(message(ProbeCode.HTTP_STATUS, status=500))  →  "HTTP 500"

How names, times and untrusted text look depends on where the text is shown: a `TextStyle` says so (plain text here,
Discord's markup in `cogs`). Only front ends and log calls import this package.
"""

from opsbot.messages.render import PLAIN, PlainStyle, TextStyle, describe, render

__all__ = ["PLAIN", "PlainStyle", "TextStyle", "describe", "render"]
