"""A plugin of pytest that runs each test marked `forked` in a child of its own, as pytest-forked does.

pytest-forked calls itself inactive, and its version 1.7.5 fails every test under pytest 9.2. The suite beside
this plugin passes with it under pytest 8.3: `-p pytest_forked` in place of `-p fork_each_test`.
"""

from __future__ import annotations

import json
import os

import pytest
from _pytest.runner import runtestprotocol


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "forked: runs in a child of its own")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Set up, run and tear down in a child, all fixtures that it inherited included."""
    if item.get_closest_marker("forked") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports_of_child(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports_of_child(item: pytest.Item) -> list[pytest.TestReport]:
    hook, config = item.ihook, item.config
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        reports = runtestprotocol(item, log=False, nextitem=None)
        said = [hook.pytest_report_to_serializable(config=config, report=report) for report in reports]
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        call = pytest.CallInfo.from_call(lambda: pytest.fail(f"ended with status {status}"), "call")
        return [pytest.TestReport.from_item_and_call(item, call)]
    return [hook.pytest_report_from_serializable(config=config, data=data) for data in json.loads(said)]
