import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbot.host import kernel, top_processes
from opsbot.host.certificates import CertificateError, Server, expiry, not_after
from opsbot.host.cgroups import retained_memory
from opsbot.host.clock_skew import ClockSkew
from opsbot.host.file_systems import file_systems
from opsbot.monitoring.leak_monitor import group_limit


def test_file_systems_are_each_told_once_by_where_they_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    found = file_systems([tmp_path, tmp_path / "deep", tmp_path / "not" / "there", Path("/proc")])
    assert len([each for each in found if each.path != Path("/proc")]) == 1
    disk = found[0]
    assert tmp_path.is_relative_to(disk.path)
    assert disk.total == disk.used + disk.free
    assert 0 < disk.percent <= 100
    assert 0 <= disk.inodes_percent <= 100


def test_the_kernel_tells_its_times_pressure_and_files(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "stat").write_text("cpu  100 0 50 800 10 0 0 40 7 0\ncpu0 1 2\n")
    pressure = "some avg10=1.50 avg60=12.25 avg300=3.00 total=1\nfull avg10=0 avg60=9 avg300=0 total=1\n"
    (tmp_path / "pressure/memory").write_text(pressure)
    (tmp_path / "sys/fs/file-nr").write_text("1200\t0\t10000\n")
    first = kernel.times(tmp_path)
    assert first == kernel.Times(1000, 40)
    assert kernel.Times(1200, 90).stolen_since(first) == 25.0
    assert first.stolen_since(first) is None
    assert kernel.memory_pressure(tmp_path) == 12.25
    assert kernel.files(tmp_path) == (1200, 10000)
    (tmp_path / "sys/fs/file-nr").write_text("1200\t0\t9223372036854775807\n")
    assert kernel.files(tmp_path) is None


def test_what_the_kernel_does_not_tell_is_none(tmp_path: Path) -> None:
    assert kernel.times(tmp_path) is None
    assert kernel.memory_pressure(tmp_path) is None
    assert kernel.files(tmp_path) is None


def test_the_real_kernel_tells_its_own() -> None:
    assert kernel.times() is not None
    own = kernel.own_files()
    assert own is not None
    assert 0 < own[0] < own[1]
    error = kernel.clock_error()
    assert error is None or 0 <= error <= 16


def test_what_a_group_holds_is_without_the_pages_of_files(tmp_path: Path) -> None:
    for name, current in (("a", 9000), ("b", 5000)):
        folder = tmp_path / "system.slice" / name
        folder.mkdir(parents=True)
        (folder / "memory.current").write_text(f"{current}\n")
        (folder / "memory.stat").write_text("anon 3000\nactive_file 500\ninactive_file 1500\nslab_reclaimable 1000\n")
    assert retained_memory(["/system.slice/a", "/system.slice/b"], tmp_path) == 8000
    assert retained_memory(["/system.slice/a", "/system.slice/gone"], tmp_path) is None
    assert retained_memory([], tmp_path) is None


def test_a_groups_limit_is_the_least_of_its_own_and_those_above(tmp_path: Path) -> None:
    (tmp_path / "system.slice/a").mkdir(parents=True)
    (tmp_path / "system.slice/a/memory.max").write_text("max\n")
    assert group_limit("/system.slice/a", tmp_path) is None
    (tmp_path / "system.slice/memory.max").write_text("4096\n")
    assert group_limit("/system.slice/a", tmp_path) == 4096


def test_who_takes_memory_is_told_by_name_and_never_by_command_line() -> None:
    found = top_processes.largest_processes()
    assert 0 < len(found) <= 5
    assert found == sorted(found, key=lambda user: -user.size)
    assert all(user.name.endswith(")") and " -" not in user.name for user in found)


def test_the_fullest_folders_come_first_and_other_file_systems_do_not_count(tmp_path: Path) -> None:
    for name, size in (("small", 1000), ("large", 300_000)):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / "in" / "file").write_bytes(b"x" * size)
    (tmp_path / "small" / "link").symlink_to(tmp_path / "large")
    os.link(tmp_path / "large/in/file", tmp_path / "large/again")
    device = tmp_path.stat().st_dev
    found = top_processes.fullest([tmp_path / "small", tmp_path / "large", tmp_path / "none"], device)
    assert [Path(user.name).name for user in found] == ["large", "small"]
    assert 300_000 <= found[0].size < 400_000
    assert top_processes.fullest([tmp_path / "large"], device + 1) == []


def make_certificate(folder: Path, days: int) -> Path:
    """A key and a certificate of its own, in one file."""
    out = folder / f"{days}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", out, "-out", folder / "c.pem", "-days", str(days), "-subj", "/CN=test.example",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    out.write_text(out.read_text() + (folder / "c.pem").read_text())
    return out


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A TLS server with a certificate that nobody signed, good for 20 days."""
    pem = await asyncio.to_thread(make_certificate, tmp_path, 20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield Server("127.0.0.1", listening.sockets[0].getsockname()[1])


@pytest.mark.processes
async def test_a_certificate_tells_when_it_expires(server: Server) -> None:
    left = await expiry(server) - datetime.now(UTC)
    assert timedelta(days=19, hours=23) < left <= timedelta(days=20)


@pytest.mark.processes
def test_dates_after_2050_are_written_otherwise_and_are_read_too(tmp_path: Path) -> None:
    text = make_certificate(tmp_path, 20_000).read_text()
    der = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])
    assert not_after(der).year > 2075


async def test_where_nobody_listens_or_nobody_speaks_tls_it_is_said(unused: int) -> None:
    with pytest.raises(CertificateError, match="TLS handshake with"):
        await expiry(Server("127.0.0.1", unused))

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        writer.close()

    for serve, within in ((silent, timedelta(milliseconds=200)), (plain, timedelta(seconds=10))):
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            with pytest.raises(CertificateError, match="TLS handshake with"):
                await expiry(Server("127.0.0.1", listening.sockets[0].getsockname()[1]), within)


@pytest.fixture
def unused() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number: int = taken.getsockname()[1]
    return number


@given(st.binary(max_size=200))
def test_what_is_no_certificate_raises_what_is_expected(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        not_after(data)


def test_a_server_is_written_as_people_do() -> None:
    assert [str(each) for each in (Server("a.example"), Server("a.example", 8443), Server("::1", 465))] == [
        "a.example",
        "a.example:8443",
        "[::1]:465",
    ]


def test_the_clock_differs_by_what_neither_whole_seconds_nor_the_way_explain() -> None:
    now = datetime(2026, 3, 1, 12, 0, 10, 300_000, tzinfo=UTC)
    drift = ClockSkew()
    assert drift.seconds(now) is None
    drift.record(now - timedelta(milliseconds=200), now, "Sun, 01 Mar 2026 12:00:10 GMT")
    assert drift.seconds(now) == 0.0
    drift.record(now - timedelta(milliseconds=200), now, "Sun, 01 Mar 2026 12:00:02 GMT")
    assert drift.seconds(now) == pytest.approx(7.1, abs=0.01)
    drift.record(now, now, "yesterday")
    assert drift.seconds(now) == pytest.approx(7.1, abs=0.01)
    assert drift.seconds(now + timedelta(hours=7)) is None
