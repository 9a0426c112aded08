"""System checks, by what they look at; importing this registers them.

Each has an id that stays what it is; docs/checks.rst lists them all.
"""

from django_roomline.checks.project import check_middleware, check_urls, check_user_ids
from django_roomline.checks.reach import check_broker, check_gateways
from django_roomline.checks.security import check_deployment, check_rooms, check_security
from django_roomline.checks.setting import check_events, check_setting, check_surroundings

__all__ = [
    "check_broker",
    "check_deployment",
    "check_events",
    "check_gateways",
    "check_middleware",
    "check_rooms",
    "check_security",
    "check_setting",
    "check_surroundings",
    "check_urls",
    "check_user_ids",
]
