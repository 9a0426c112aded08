"""Settings: one frozen object, read from a file, the environment and flags, and validated once."""

from roomline.config.settings import Settings
from roomline.config.sources import SettingsError, add_flags, load

__all__ = ["Settings", "SettingsError", "add_flags", "load"]
