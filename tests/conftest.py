"""What several test folders share: which tests are slow, and which follow each other."""

import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

FIXED_PORTS = (
    *("tests/docs/", "tests/django/test_runroomline.py"),
    *("tests/end_to_end/test_own_project.py", "tests/end_to_end/test_fresh_clone.py"),
)
"""What uses ports that pages show, or the first free ones after those, as a user's programs do."""

# Where this runs in the background, a shell has it ignore Ctrl-C, and so would the programs that
# tests start to send them one.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Generated tests look for what is wrong, not for what is slow: others may use the machine, too.
settings.register_profile(
    "roomline",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("roomline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting RabbitMQ takes seconds, and then it shares the machine with whoever talks to it."""
    for item in items:
        if {"rabbitmq", "tls_node"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes test, the tests of a file share servers, and those that use the
    same ports follow each other: they all run in one of the processes."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "fixed ports" if nodeid.startswith(FIXED_PORTS) else nodeid.split("::")[0]

    return Scheduling(config, log)
