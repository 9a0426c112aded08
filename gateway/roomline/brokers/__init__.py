"""Implementations of `roomline.broker.Broker`. They do not know each other."""
