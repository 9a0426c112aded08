"""Roomline: a SockJS-compatible realtime gateway in which the log is the room."""

__version__ = "0.1.0"
