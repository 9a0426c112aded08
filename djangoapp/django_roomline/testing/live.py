"""A real gateway for ``LiveServerTestCase``, on the log that Django publishes to."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings as django_settings
from django.test import Client, LiveServerTestCase, override_settings
from django.urls import reverse

from django_roomline import conf
from django_roomline.models import AnyUser
from django_roomline.publishing import disconnect

if TYPE_CHECKING:
    from roomline.client import BlockingSubscription
    from roomline.testing import LiveGateway

    Base = LiveServerTestCase
else:
    Base = object


class LiveGatewayMixin(Base):
    """For test cases: ``class ChatTests(LiveGatewayMixin, StaticLiveServerTestCase)``.

    The class has a gateway on a log of its own while its tests run. ``ROOMLINE`` sends Django's
    publications and the pages' clients there. The gateway has the project's keys, accepts pages of
    the live server, and has the namespaces that ``ROOMLINE["GATEWAY"]`` names.
    """

    gateway_settings: ClassVar[dict[str, str]] = {}
    """More settings of the gateway, by their names (docs/settings.rst)."""
    gateway: ClassVar["LiveGateway"]

    @classmethod
    def setUpClass(cls) -> None:
        """Start the gateway beside the live server."""
        from roomline.testing import LiveGateway

        super().setUpClass()
        project = conf.current()
        settings = {name.lower(): value for name, value in project.gateway.items()} | {
            "keys": ",".join(f"{kid}:{secret}" for kid, secret in project.secrets.items()),
            "anonymous": "false",
            "origins": cls.live_server_url,
        }
        cls.gateway = LiveGateway(**settings | cls.gateway_settings)
        cls.gateway.start()
        cls.addClassCleanup(cls.gateway.stop)
        ours = {
            "BROKER": cls.gateway.broker,
            "ENDPOINTS": [cls.gateway.url],
            "PUBLISH_IN_TESTS": True,
        }
        override = override_settings(ROOMLINE={**django_settings.ROOMLINE, **ours})
        override.enable()
        cls.addClassCleanup(override.disable)
        cls.addClassCleanup(disconnect)

    def roomline_client(self, user: "AnyUser | None" = None, **options: Any) -> "VisitorClient":
        """A connected client of a user, or of a guest, with the tokens that the project's own
        views give; it is closed at the end of the test.

        `options` are those of `roomline.client.Client`. Raises `AssertionError` if the project
        gives this visitor no token.
        """
        visitor = VisitorClient(self.gateway.url, user, **options)
        visitor.client.connect()
        self.addCleanup(visitor.client.close)
        return visitor


class VisitorClient:
    """What a page of one visitor does: connect, subscribe, publish, with Django's tokens."""

    def __init__(self, url: str, user: "AnyUser | None", **options: Any) -> None:
        from roomline.client import BlockingClient

        self._browser = Client()
        if user is not None:
            self._browser.force_login(user)  # type: ignore[arg-type]  # any user model will do
        # Fetched here: the client asks for it in a thread without the test's database.
        token = self._token("roomline:token")
        self.client: BlockingClient = BlockingClient(url, token=lambda: token, **options)

    def subscribe(self, room: str, *, history: int | None = None) -> "BlockingSubscription":
        """See `roomline.client.BlockingClient.subscribe`; gets a room token if one is needed."""
        from roomline.client import CommandRefused

        try:
            return self.client.subscribe(room, history=history)
        except CommandRefused as refused:
            if refused.code != "room_token_required":
                raise
        token = self._token("roomline:room-token", room=room)
        return self.client.subscribe(room, history=history, token=lambda: token)

    def publish(self, room: str, data: Any, *, key: str | None = None) -> None:
        """See `roomline.client.BlockingClient.publish`."""
        self.client.publish(room, data, key=key)

    def _token(self, view: str, **query: str) -> str:
        answer = self._browser.get(reverse(view), query)
        if answer.status_code != 200:
            raise AssertionError(
                f"{view} gave no token but {answer.status_code}: {answer.content.decode()[:300]}"
            )
        token: str = answer.json()["token"]
        return token
