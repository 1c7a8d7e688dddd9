"""Read a server's certificate expiry by a TLS handshake.

Nothing is verified, because the dates of expired, self-signed or foreign certificates matter, too. No root certificates
are loaded, and no data is sent over the connection.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HANDSHAKE = timedelta(seconds=10)
_SEQUENCE, _CONTEXT_0, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


class CertificateError(Exception):
    """The certificate could not be retrieved; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that presents a certificate."""

    host: str
    port: int = 443

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"  # noqa: PLR2004 - https


async def expiry(server: Server, within: timedelta = HANDSHAKE) -> datetime:
    """Return when the certificate that this server presents expires.

    Raises:
        CertificateError: no connection, no handshake in time, or no readable certificate.
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
        raise CertificateError(
            f"TLS handshake with {server} did not finish within {within.total_seconds():.0f} s"
        ) from error
    except (OSError, ssl.SSLError, ValueError) as error:
        raise CertificateError(f"TLS handshake with {server} failed: {error}") from error
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
    """Parse the end of a DER certificate's validity (RFC 5280, 4.1).

    Raises:
        ValueError, IndexError: it is not a certificate.
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
        # Two-digit years from 50 belong to the last century (4.1.2.5.1).
        text = (b"19" if int(text[:2]) >= 50 else b"20") + text  # noqa: PLR2004
    elif kind != _GENERALIZED_TIME:
        raise ValueError(f"no time: tag {kind}")
    return datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(data: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """Return the first element's tag and content, and the remaining bytes."""
    tag, length, at = data[0], data[1], 2
    if wanted is not None and tag != wanted:
        raise ValueError(f"tag {tag} instead of {wanted}")
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if at + length > len(data):
        raise ValueError("truncated")
    return tag, data[at : at + length], data[at + length :]
