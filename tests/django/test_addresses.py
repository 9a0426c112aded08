"""Which addresses the development servers get."""

import socket
from collections.abc import Iterator

import pytest
from django_roomline.addresses import Address, BadAddress, choose, parse


@pytest.fixture
def taken() -> Iterator[Address]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield Address(*server.getsockname())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8000", Address("127.0.0.1", 8000)),
        ("127.0.0.2:8000", Address("127.0.0.2", 8000)),
        ("localhost:1", Address("localhost", 1)),
        ("[::1]:8000", Address("::1", 8000)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize("text", ["", "0", "host", "host:", ":80", "1:2:3", "host:70000", "h:1/x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress, match="accepted is"):
        parse(text)


@pytest.mark.parametrize("text", ["0.0.0.0:8000", "[::]:8000"])
def test_every_address_at_once_is_refused(text: str) -> None:
    with pytest.raises(BadAddress, match="the one that browsers will use"):
        parse(text)


def test_urls_and_origins() -> None:
    assert Address("::1", 80).url == "http://[::1]:80"
    assert Address("127.0.0.1", 80).origins == ("http://127.0.0.1:80", "http://localhost:80")
    assert Address("192.0.2.1", 80).origins == ("http://192.0.2.1:80",)


def test_free_ports_are_found_and_differ() -> None:
    chosen = choose(None, None)
    assert len({address.port for address in chosen}) == 3
    assert {address.host for address in chosen} == {"127.0.0.1"}


def test_given_ports_are_used_and_not_given_again() -> None:
    chosen = choose(Address("127.0.0.1", 8001), None)
    assert chosen.page.port == 8001
    assert 8001 not in (chosen.django.port, chosen.internal.port)


def test_a_port_that_another_program_has_is_refused(taken: Address) -> None:
    with pytest.raises(BadAddress, match=f"{taken} cannot be listened on"):
        choose(taken, None)
    with pytest.raises(BadAddress, match=f"{taken} cannot be listened on"):
        choose(None, taken.port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BadAddress, match="cannot be listened on"):
        choose(Address("192.0.2.1", 8000), None)


def test_one_port_for_both_is_refused() -> None:
    port = free_port()
    with pytest.raises(BadAddress, match="asked for twice"):
        choose(Address("127.0.0.1", port), port)


def test_django_listens_on_this_machine_only() -> None:
    assert choose(Address("localhost", free_port()), None).django.host == "127.0.0.1"


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_impossible_ports_are_refused(port: int) -> None:
    with pytest.raises(BadAddress, match="1 to 65535"):
        choose(None, port)
