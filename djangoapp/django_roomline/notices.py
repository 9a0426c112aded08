"""Notices: a text of somebody of the staff for open pages, published and recorded together."""

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, router, transaction
from roomline.wire import Kind, message_id_of

from django_roomline import conf
from django_roomline.identity import sender_of
from django_roomline.models import Notice
from django_roomline.publishing import PRINCIPAL, publish

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

KIND: Final[Kind] = "admin"
"""Gateways believe this kind of the project's own publishers only, as they do a sender: nobody
else, not even in the broker's console, can publish what looks like a notice of the staff."""


class AlreadySent(Exception):
    """This notice was sent before: nothing was done."""


def send_notice(room: str, text: str, sender: "AbstractBaseUser", nonce: str) -> Notice:
    """Publish a notice from a user to a room, and record it.

    What was not published is not recorded. What was published is, unless a transaction around this
    is rolled back; with the outbox it is then not published either. Sent again with the same
    `nonce` and text it is published once. It is published at once, or through the transactional
    outbox if that is what ``ROOMLINE["OUTBOX"]`` says.

    Raises `AlreadySent`, what `django_roomline.publish` raises, and then nothing is recorded. After
    a `django_roomline.PublishUnconfirmed` the notice may have been published all the same; sending
    it again with the same nonce does no harm and records it.
    """
    # Of the text, too: one that was corrected is another notice.
    key = blake2b(f"{nonce}\0{text}".encode(), digest_size=16).hexdigest()
    using = router.db_for_write(Notice)
    notice = Notice(
        room=room,
        text=text,
        sent_by_id=sender.pk,
        sender_name=sender_of(sender).name,
        message_id=message_id_of(PRINCIPAL, room, key),
    )
    with transaction.atomic(using):
        try:
            with transaction.atomic(using):
                notice.save(force_insert=True, using=using)
        except IntegrityError:
            raise AlreadySent(f"this notice to {room} was sent before") from None
        publish(
            *(room, {"text": text}, KIND, conf.current().outbox),
            key=key,
            using=using,
            sender=sender,
        )
    return notice
