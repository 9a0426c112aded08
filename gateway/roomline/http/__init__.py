"""What operators and publishers ask over HTTP: health, metrics, publishing, history.

For an internal port only: `internal_application` is never mounted where browsers connect.
"""

from roomline.http.application import INTERNAL_LIMITS, internal_application

__all__ = ["INTERNAL_LIMITS", "internal_application"]
