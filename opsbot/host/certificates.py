"""When a server's certificate expires, asked of the server itself by a handshake.

Nothing is verified: an expired, self-signed or foreign certificate has its dates too, and those are asked for here. So
no store of root certificates is loaded, and nothing is ever sent over the connection.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HANDSHAKE = timedelta(seconds=10)
_SEQUENCE, _CONTEXT_0, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


class CertificateError(Exception):
    """The certificate could not be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a certificate is shown."""

    host: str
    port: int = 443

    def __str__(self) -> str:
        """`example.org`, with the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"  # noqa: PLR2004 - https


async def expiry(server: Server, within: timedelta = HANDSHAKE) -> datetime:
    """When the certificate that this server shows expires.

    Raises:
        CertificateError: no connection, no handshake in time, or no certificate that can be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(within.total_seconds()):
            _, writer = await asyncio.open_connection(
                server.host, server.port, ssl=context, server_hostname=server.host
            )
    except TimeoutError as error:
        raise CertificateError(f"{server} did not shake hands within {within.total_seconds():.0f} s") from error
    except (OSError, ssl.SSLError, ValueError) as error:
        raise CertificateError(f"{server} did not shake hands: {error}") from error
    try:
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    try:
        return not_after(found)
    except (ValueError, IndexError) as error:
        raise CertificateError(f"the certificate of {server} cannot be read: {error}") from error


def not_after(certificate: bytes) -> datetime:
    """The end of a certificate's validity (RFC 5280, 4.1), which is DER.

    Raises:
        ValueError, IndexError: it is no certificate.
    """
    _, body, _ = _element(certificate, _SEQUENCE)
    _, signed, _ = _element(body, _SEQUENCE)
    if signed[0] == _CONTEXT_0:  # the version
        _, _, signed = _element(signed)
    for _ in ("serial number", "signature", "issuer"):
        _, _, signed = _element(signed)
    _, validity, _ = _element(signed, _SEQUENCE)
    _, _, rest = _element(validity)  # not before
    kind, text, _ = _element(rest)
    if kind == _UTC_TIME:
        # Two digits of the year: 50 and more are of the last century (4.1.2.5.1).
        text = (b"19" if int(text[:2]) >= 50 else b"20") + text  # noqa: PLR2004
    elif kind != _GENERALIZED_TIME:
        raise ValueError(f"no time: tag {kind}")
    return datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(data: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """The first element: its tag, its content, what comes after it."""
    tag, length, at = data[0], data[1], 2
    if wanted is not None and tag != wanted:
        raise ValueError(f"tag {tag} instead of {wanted}")
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if at + length > len(data):
        raise ValueError("it is cut short")
    return tag, data[at : at + length], data[at + length :]
