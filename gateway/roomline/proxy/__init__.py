"""What is served beside SockJS: rooms' event streams, and the server behind the gateway, to which
requests are handed and whose responses are held if it wants that.

The proxy is no general one: one upstream, plain HTTP/1.1, a connection for each request, no
websockets, nothing cached, nothing compressed.
"""

from roomline.proxy.events import RoomEvents
from roomline.proxy.keeper import Keeper
from roomline.proxy.proxy import Proxy
from roomline.proxy.settings import HeldSettings, ProxySettings

__all__ = ["HeldSettings", "Keeper", "Proxy", "ProxySettings", "RoomEvents"]
