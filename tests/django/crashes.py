"""Kills a relay at each of its steps in turn, and lets another one finish; a program of its own.

A step begins and ends with each statement that goes to the database, and with each publication.
For each there is a run: six publications are written, a relay is killed at the step, another one
does the rest. Says how many runs there were when a relay has come through without being killed.
"""

import os
import signal
import sys
import traceback
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402
from django_roomline import publish, relay  # noqa: E402
from django_roomline.models import Lease, OutboxMessage  # noqa: E402
from django_roomline.publishing import disconnect, send  # noqa: E402
from django_roomline.relay import Outcome, Relay  # noqa: E402
from roomline.wire import Envelope  # noqa: E402

WRITTEN = 6


class NeverStop:
    """Lets the relay go on."""

    asked = False

    def wait(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class Steps:
    """Kills this process at the step with that number, if there is one."""

    def __init__(self, fatal: int | None) -> None:
        self._left = fatal

    def take(self) -> None:
        if self._left is not None:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1


def relay_in_a_child(fatal: int | None) -> bool:
    """Whether a relay has come through."""
    connection.close()
    child = os.fork()
    if child == 0:
        try:
            _relay(Steps(fatal))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, f"the relay has ended with {status}"
    return True


def _relay(steps: Steps) -> None:
    def asking(execute: Any, *arguments: Any) -> Any:
        steps.take()
        result = execute(*arguments)
        steps.take()
        return result

    def sending(envelope: Envelope, timeout: float) -> None:
        steps.take()
        send(envelope, timeout)
        steps.take()

    with connection.execute_wrapper(asking):
        outcome = Relay("default", NeverStop(), send=sending, lease_seconds=60).drain()
    assert outcome is Outcome.DONE, outcome
    disconnect()


def main() -> None:
    relay.BATCH = 4  # so that there is a step between two batches
    number = 0
    while True:
        for item in range(WRITTEN):
            publish(f"chat.{item % 2}", [number, item], outbox=True)
        through = relay_in_a_child(number)
        if not through:
            Lease.objects.update(expires=0)  # time passes
            assert relay_in_a_child(None)
        assert not OutboxMessage.objects.exists()
        number += 1
        if through:
            break
    print(f"{number} runs of {WRITTEN}")


if __name__ == "__main__":
    main()
