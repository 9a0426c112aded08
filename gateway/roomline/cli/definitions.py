"""``roomline definitions``: what RabbitMQ has to have, as a file that it can load."""

import json

from roomline.brokers.definitions import definitions
from roomline.config import Settings


def print_definitions(settings: Settings, vhost: str) -> int:
    """Print the definitions for the namespaces and the retention of these settings; returns 0."""
    found = definitions(
        settings.namespaces, int(settings.retention_seconds), settings.retention_bytes, vhost
    )
    print(json.dumps(found, indent=2))
    return 0
