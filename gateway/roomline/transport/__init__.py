"""SockJS over Tornado, on sockjs-tornado by subclassing: bytes into messages and messages into
frames. It decides nothing about rooms.

An `Endpoint` serves any `roomline.core.link.Application` under one path. Mount its routes in a
Tornado application, while the event loop runs::

    endpoint = Endpoint(node, TransportSettings(prefix="/sockjs"))
    server = HTTPServer(tornado.web.Application(endpoint.urls), **server_limits(settings))
    ...
    endpoint.close()      # when every session has been closed

The endpoint takes scheme and client address from the request. Behind a proxy, serve it by
`roomline.httpserver.GatewayServer` with the proxy's addresses as `trusted_proxies`; Tornado's
``xheaders`` would believe everybody.
"""

from roomline.transport.endpoint import Endpoint
from roomline.transport.origins import own_origin
from roomline.transport.settings import TRANSPORTS, TransportSettings, server_limits

__all__ = ["TRANSPORTS", "Endpoint", "TransportSettings", "own_origin", "server_limits"]
