"""A process that has imported everything and forks one child after another, each to be killed at some call.

Usage: nursery_process.py. Orders come on standard input, a JSON object a line, and so do the answers:

    {"operation": ...}     begins a life (see `killed_lives.py`); its first answer is what the child says
    ...                    goes to the child, until it says {"ready": true, ...}
    {"reach": N}           lets it run to its N-th call from there (null: to its end) and kills it before that
    {"reach": N, "hold": true}    the same, but says {"held": NAME}, awaits a line, and lets it go on
                           answer: {"reached": NAME or null, "calls": [...], "said": [...], "status": ...}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any, TextIO

import killed_lives
from call_tracer import CAN_TRACE, CallTracer


def tell(line: TextIO, facts: dict[str, Any]) -> None:
    line.write(json.dumps(facts) + "\n")
    line.flush()


def hear(line: TextIO) -> dict[str, Any] | None:
    """The next line; None when there is nobody any more."""
    said = line.readline()
    return json.loads(said) if said.endswith("\n") else None


def bear(order: dict[str, Any]) -> tuple[int, TextIO, TextIO]:
    """Fork a child that lives as ordered; its process, a line to it and one from it."""
    to_child, from_child = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(to_child[1])
        os.close(from_child[0])
        os.close(0)
        # One write for a line: what was said is said, whatever happens next.
        orders, answers = os.fdopen(to_child[0]), os.fdopen(from_child[1], "w")
        status = 1
        try:
            killed_lives.live(order, lambda facts: tell(answers, facts), lambda: hear(orders))
            status = 0
        except BaseException:  # noqa: BLE001 - a forked child must end here, whatever happened
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(to_child[0])
    os.close(from_child[1])
    return pid, os.fdopen(to_child[1], "w"), os.fdopen(from_child[0])


def let_live(order: dict[str, Any]) -> None:
    pid, to_child, from_child = bear(order)
    with to_child, from_child:
        said = hear(from_child)
        while said is not None:
            tell(sys.stdout, said)
            if said.get("ready"):
                break
            answer = hear(sys.stdin)
            if answer is None:
                return
            tell(to_child, answer)
            said = hear(from_child)
        else:
            os.waitpid(pid, 0)
            tell(sys.stdout, {"died": order})
            return
        ending = hear(sys.stdin)
        if ending is None:
            return
        tracer = CallTracer(pid)
        tracer.attach()
        tell(to_child, {})
        reached = tracer.run_until(ending["reach"])
        if reached is not None and ending.get("hold"):
            tell(sys.stdout, {"held": reached})
            hear(sys.stdin)
            tracer.run_until(None)
        elif reached is not None:
            tracer.kill()
        rest = [json.loads(line) for line in from_child if line.endswith("\n")]
        tell(
            sys.stdout,
            {"reached": reached, "calls": tracer.calls, "said": rest, "status": tracer.status},
        )


def refusal() -> str | None:
    """Why processes can't be followed here."""
    if not CAN_TRACE:
        return "the numbers of this machine's system calls are not known"
    pid = os.fork()
    if pid == 0:
        signal.pause()
    tracer = CallTracer(pid)
    followed = tracer.attach()
    tracer.kill()
    return None if followed else "this machine lets no process follow another (ptrace)"


def main() -> None:
    tell(sys.stdout, {"refusal": refusal()})
    while (order := hear(sys.stdin)) is not None:
        let_live(order)


if __name__ == "__main__":
    main()
