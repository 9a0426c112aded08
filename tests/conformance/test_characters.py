"""Every text arrives as it was sent, whatever a browser would have made of it."""

import json
import re

import pytest

from tests.conformance.carriers import OPEN, Carrier, carriers, receiving, send_text, session
from tests.transport.clients import websocket

pytestmark = pytest.mark.timeout(20)

MANGLED = re.compile("[\0-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")
"""What servers must escape: old browsers mangle it, or no UTF-8 can carry it."""

EVERY = "".join(map(chr, range(0xFFFF, -1, -1)))
"""From the end, so that no two halves of surrogate pairs make a whole."""

PLAIN = 'déjà vu, 你好, 😀, "quoted" \\ / </script>'


@carriers
async def test_what_browsers_mangle_is_escaped(port: int, carrier: Carrier) -> None:
    text = "".join(MANGLED.findall(EVERY))
    path = session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        await send_text(port, path, json.dumps([text]), by=carrier.sends_by)
        frame = await frames.next()
        assert frame.isascii()
        assert frame.isprintable()
        assert json.loads(frame[1:]) == [text]


@carriers
async def test_what_clients_escape_is_understood(port: int, carrier: Carrier) -> None:
    """They may escape any character, and old ones escape many."""
    texts = [EVERY[start : start + 8192] for start in range(0, len(EVERY), 8192)]
    path = session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        for text in texts:
            escaped = "".join(f"\\u{ord(character):04X}" for character in text)
            await send_text(port, path, f'["{escaped}"]', by=carrier.sends_by)
            frame = await frames.next()
            assert not MANGLED.search(frame)
            assert json.loads(frame[1:]) == [text]
            if carrier.streams:
                # Each is longer than the response's limit.
                assert await frames.ended()
                await frames.ask()


@carriers
async def test_other_characters_travel_as_they_are(port: int, carrier: Carrier) -> None:
    path = session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        await send_text(port, path, json.dumps([PLAIN], ensure_ascii=False), by=carrier.sends_by)
        frame = await frames.next()
        assert "déjà vu, 你好, 😀" in frame
        assert json.loads(frame[1:]) == [PLAIN]


@carriers
async def test_percent_signs(port: int, carrier: Carrier) -> None:
    texts = ["100%", "%", "%%", "%25", "%41", "%E2%82", "%23", "%u0041", "50 %, 20%25"]
    path = session()
    async with receiving(port, path, carrier) as frames:
        assert await frames.next() == OPEN
        await send_text(port, path, json.dumps(texts), by=carrier.sends_by)
        assert await frames.messages(len(texts)) == texts


async def test_characters_by_websocket(port: int) -> None:
    async with websocket(port, f"{session()}/websocket") as client:
        assert await client.receive() == OPEN
        for text in (PLAIN, "".join(MANGLED.findall(EVERY)), EVERY[:8192], EVERY[-8192:]):
            client.send(json.dumps([text]))
            frame = await client.receive()
            assert isinstance(frame, str)
            assert not MANGLED.search(frame)
            assert json.loads(frame[1:]) == [text]
