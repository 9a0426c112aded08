"""What publishing raises, beside `roomline.wire.InvalidName` and `InvalidData` for its arguments.

::

    PublishError
    ├── PublishRejected      the broker will never take this publication
    ├── BrokerUnavailable    not in the log: try again
    │   └── PublishReturned  this room has no log, or not yet: others may have one
    ├── PublishUnconfirmed   outcome unknown: it may or may not be in the log
    └── PublicationsFailed   several of one transaction's, each with one of the above
"""


class PublishError(Exception):
    """A publication that was not confirmed; the text is for operators."""


class PublishRejected(PublishError):
    """The broker refuses this publication for good: too large, or not permitted."""


class BrokerUnavailable(PublishError):
    """The publication is not in the log: broker out of reach, or it was returned."""


class PublishReturned(BrokerUnavailable):
    """The broker has no log for this room: its namespace is not bound, or the log is not up yet.

    The first lasts until somebody configures a gateway for the namespace, the second for some
    seconds after the broker's start. RabbitMQ does not tell which it is.
    """


class PublishUnconfirmed(PublishError):
    """The publication may or may not be in the log: no answer came in time.

    Publishing it again does no harm if both calls have the same `key`.
    """


class PublicationsFailed(ExceptionGroup[PublishError], PublishError):
    """Several of the publications of one transaction were not confirmed.

    `exceptions` has the error of each, in the order of the calls; the text names their rooms.
    """
