"""The floor: one frame built once and ``socket.send`` in a plain loop, nothing else.

It answers an upgrade without looking at it and passes on what a client says as it stands. Run
as a child: listens on the port that is its first argument.
"""

import selectors
import socket
import sys

from bench.websocket import frame, unmask

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def main(port: int) -> None:
    """Serve until killed."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    selector.register(listener, selectors.EVENT_READ)
    upgraded: dict[socket.socket, bool] = {}
    buffers: dict[socket.socket, bytes] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(client, selectors.EVENT_READ)
                upgraded[client], buffers[client] = False, b""
                continue
            client = key.fileobj  # type: ignore[assignment]  # nothing else is registered
            chunk = client.recv(65536)
            if not chunk:
                selector.unregister(client)
                del upgraded[client], buffers[client]
            elif not upgraded[client]:
                upgraded[client] = True
                client.sendall(ACCEPTED + frame(b"o"))
            else:
                messages, buffers[client] = unmask(buffers[client] + chunk)
                for message in messages:
                    ready = frame(b"a" + message)
                    for everybody in upgraded:
                        everybody.send(ready)


if __name__ == "__main__":
    main(int(sys.argv[1]))
