"""The protocol and the rooms as values: no I/O, no clock. Time is an argument."""
