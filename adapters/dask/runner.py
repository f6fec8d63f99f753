"""`DaskRunner`: the `BlockRunner` of a Dask cluster."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any
from uuid import uuid4

import attrs
import dask
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm import CommClosedError
from distributed.utils import TimeoutError as DaskTimeoutError

from ...domain.errors import BaseSealError
from ...domain.ports.block_runner import Result, Task
from ..available_memory import available_memory_bytes
from .on_worker import Call, Failure

PATIENCE_S = 60.0
_LOCAL_PATIENCE_S = 600.0
"""Workers of this machine that die are begun again; on a busy machine that takes time."""
_LOCAL_SETTINGS = {
    "distributed.comm.timeouts.connect": PATIENCE_S * 2,
    # A worker looks at its stacks a hundred times a second, and at itself as often: a tenth of a core.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    # Threads that build the graph wait for each other asleep: the seal needs the other core meanwhile.
    "distributed.nanny.pre-spawn-environ.OMP_WAIT_POLICY": "passive",
}
_AHEAD = 3
"""Tasks under way for each thread of the cluster: one runs, the others wait beside it."""
_LOOK_S = 2.0
_FETCH_S = 30.0
"""A result that does not come from its worker by then is computed again."""
_PAUSED_AT = 0.8
"""Of its memory limit, where Dask stops a worker."""
_LOGGER = "distributed"
_GONE = (CancelledError, CommClosedError, DaskTimeoutError, OSError)
_REMEDY = "start it and its workers, then build again: what is finished stays"


@attrs.define(kw_only=True)
class DaskRunner:
    """See `BlockRunner`. At most three tasks for each thread of the cluster are under way.

    A task of a worker that died runs on another one, until four have died of it. A scheduler that was started
    again is given the unfinished tasks anew. Without a worker, or without a scheduler, for `patience_s`
    seconds the run fails.
    """

    threads: int = attrs.field(default=1, init=False)
    """Of a task: the workers have one for each task that they run."""
    connect: Callable[[], Client]
    """Raises `OSError` where no scheduler answers."""
    environment: Callable[[], Mapping[str, str]]
    """Says what a process has that decides bytes; every worker must answer as this process."""
    patience_s: float = PATIENCE_S
    _client: Client = attrs.field(init=False)
    _scheduler: str = attrs.field(default="", init=False)
    """The id of the scheduler that knows the tasks: a scheduler that is started again has another one."""
    _workers: Mapping[str, int] = attrs.field(factory=dict, init=False)
    """The threads of each worker, by its address."""
    _threads: int = attrs.field(default=0, init=False)
    _looked: float = attrs.field(default=0.0, init=False)
    _had_threads: float = attrs.field(default=0.0, init=False)
    _keys: Iterator[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # The dashboard groups tasks by the part of their keys that precedes the digits.
        self._keys = map(partial("{}-{}".format, uuid4().hex), count())
        self._connect()

    def close(self) -> None:
        """Leave the cluster, whose workers go on without this build."""
        with suppress(*_GONE):
            self._client.close()

    def run(self, phase: str, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        results = self._run(phase, work, tasks)
        with closing(results):
            next(results)
            yield from results

    @contextmanager
    def beside(
        self, phase: str, work: Callable[[Task], Result], task: Task
    ) -> Iterator[Callable[[], Result]]:
        roomy = max(self._memory().items(), key=itemgetter(1), default=None)
        results = self._run(phase, work, [task], prefer=None if roomy is None else roomy[0])
        next(results)
        with closing(results):
            yield lambda: next(results)

    def available_memory_bytes(self) -> int | None:
        return max(self._memory().values(), default=None)

    def _memory(self) -> dict[str, int]:
        """What each worker can take: of its machine, and below the limit that Dask holds it to (0: none)."""
        try:
            left = self._client.run(available_memory_bytes, on_error="ignore")
            known = self._client.sync(self._client.scheduler.identity)["workers"]
        except _GONE:
            return {}
        found = {}
        for address, bytes_left in left.items():
            if bytes_left is not None and address in known:
                limit = int(known[address]["memory_limit"] * _PAUSED_AT)
                found[address] = min(bytes_left, limit or bytes_left)
        return found

    def _run(
        self,
        phase: str,
        work: Callable[[Task], Result],
        tasks: Iterable[Task],
        prefer: str | None = None,
    ) -> Generator[Any, None, None]:
        """One None when the first tasks are submitted, then the results. Raises as `run`."""
        call = Call(work, self.environment, dict(self.environment()))
        upcoming, again = iter(tasks), deque[Task]()
        under_way: dict[Future, Task] = {}
        is_begun = False
        self._had_threads = time.monotonic()
        try:
            while True:
                if not self._is_known():
                    again += under_way.values()
                    under_way.clear()
                    self._connect()
                elif prefer is not None and prefer not in self._workers and self._has_stranded(under_way):
                    # Dask keeps a task for a worker that died, where there was no other at that moment.
                    prefer = None
                    with suppress(*_GONE):
                        self._client.cancel(list(under_way))
                    again += under_way.values()
                    under_way.clear()
                for task in self._next(again, upcoming, len(under_way)):
                    key = f"{phase}-{next(self._keys)}"
                    future = self._client.submit(
                        call,
                        task,
                        key=key,
                        pure=False,
                        workers=prefer,
                        allow_other_workers=prefer is not None,
                    )
                    under_way[future] = task
                if not is_begun:
                    is_begun = True
                    yield None
                    # Nobody looked while the caller did something else, however long that took.
                    self._had_threads = time.monotonic()
                if not under_way:
                    return
                for future in self._ended(under_way):
                    task = under_way.pop(future)
                    try:
                        result = _result_of(phase, future)
                    except _GONE:  # with its scheduler, or on the way here
                        again.append(task)
                        self._looked = 0.0
                    else:
                        yield result
        finally:
            with suppress(*_GONE):
                self._client.cancel(list(under_way))

    def _next(self, again: deque[Task], upcoming: Iterator[Task], under_way: int) -> Iterator[Task]:
        """The tasks that there is room for."""
        for _ in range(max(1, _AHEAD * self._threads) - under_way):
            if again:
                yield again.popleft()
            else:
                for task in upcoming:
                    yield task
                    break
                else:
                    return

    def _is_known(self) -> bool:
        """Whether the scheduler still knows the tasks; asked every few seconds.

        Raises `BaseSealError` when it has had no worker for too long.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_S and self._threads:
            return True
        self._looked = now
        try:
            found = self._client.sync(self._client.scheduler.identity)["id"]
            self._workers = self._client.nthreads()
            self._threads = sum(self._workers.values())
        except _GONE:
            return False
        if found != self._scheduler:
            return False
        if self._threads:
            self._had_threads = now
        elif now - self._had_threads > self.patience_s:
            raise BaseSealError(
                f"the scheduler {self._client.scheduler.address} has had no worker for "
                f"{self.patience_s:.0f} s",
                remedy="start workers (dask worker ADDRESS), then build again: what is finished stays",
            )
        return True

    def _has_stranded(self, under_way: Iterable[Future]) -> bool:
        """Whether a task has no result and is on no worker."""
        try:
            on_workers = set().union(*self._client.processing().values())
        except _GONE:
            return False
        return any(
            future.status in ("pending", "lost") and future.key not in on_workers for future in under_way
        )

    def _ended(self, under_way: Mapping[Future, Any]) -> list[Future]:
        """The futures that ended; none when nothing happened for a moment."""
        with suppress(*_GONE), self._client.as_current():
            wait(list(under_way), timeout=_LOOK_S, return_when="FIRST_COMPLETED")
        # A result that was lost with its worker is computed again: asking for it would wait for a worker.
        return [future for future in under_way if future.status not in ("pending", "lost")]

    def _connect(self) -> None:
        """Connect, or connect again, within the patience. Raises `BaseSealError`."""
        if self._scheduler:
            self.close()
        began = time.monotonic()
        while True:
            try:
                self._client = self.connect()
                self._scheduler = self._client.sync(self._client.scheduler.identity)["id"]
                break
            except _GONE as error:
                if time.monotonic() - began > self.patience_s:
                    raise BaseSealError(f"the scheduler does not answer: {error}", remedy=_REMEDY) from error
                time.sleep(_LOOK_S / 4)
        self._looked = 0.0


def _result_of(phase: str, future: Future) -> Any:
    """The result of a task. Raises `BaseSealError` for one that failed, `_GONE` where its result is lost."""
    try:
        result = future.result(timeout=_FETCH_S)
    except _GONE:
        raise
    except KilledWorker as error:
        raise BaseSealError(
            f"a block of the phase {phase} was on {error.allowed_failures + 1} workers that died, "
            f"the last {error.last_worker.address}",
            remedy="look at the memory and the log of that worker, then build again: what is finished stays",
        ) from error
    except Exception as error:
        raise BaseSealError(
            f"a worker can't run the phase {phase}: {type(error).__name__}: {error}",
            remedy="install the same aerotile[ground] on scheduler and workers",
        ) from error
    if isinstance(result, Failure):
        raise BaseSealError(result.message, remedy=result.remedy)
    return result


@contextmanager
def runner_of_scheduler(
    address: str, environment: Callable[[], Mapping[str, str]], *, patience_s: float = PATIENCE_S
) -> Iterator[DaskRunner]:
    """A runner on the workers of a scheduler. Raises `BaseSealError` when it does not answer."""

    def connect() -> Client:
        try:
            return Client(address, timeout=_LOOK_S * 2, set_as_default=False)
        except ValueError as error:  # of an address that is none
            raise BaseSealError(
                f"{address!r} is no address of a scheduler: {error}", remedy="write tcp://HOST:8786"
            ) from error

    with _quiet():
        runner = DaskRunner(connect=connect, environment=environment, patience_s=patience_s)
        try:
            yield runner
        finally:
            runner.close()


@contextmanager
def runner_of_workers(
    workers: int, scratch: str, environment: Callable[[], Mapping[str, str]]
) -> Iterator[DaskRunner]:
    """A runner on so many workers of this machine, which end with the block; each has one thread.

    They listen on the loopback alone, at free ports, and take work from this process alone: the sender of a
    task runs code as this user, so each side shows a certificate that is made for the run. `scratch` is a
    folder for their small files.
    """
    with (
        _quiet(),
        dask.config.set(_LOCAL_SETTINGS),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            security=True,
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            memory_limit=0,  # a build bounds what it takes, and the graph may take more than a worker's share
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        runner = DaskRunner(
            connect=lambda: Client(cluster, set_as_default=False),
            environment=environment,
            patience_s=_LOCAL_PATIENCE_S,
        )
        try:
            yield runner
        finally:
            runner.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs each lost connection, and workers that end with their cluster; errors name what matters."""
    loggers = [logging.getLogger(name) for name in (_LOGGER, *logging.root.manager.loggerDict)]
    before = [(logger, logger.level) for logger in loggers if logger.name.startswith(_LOGGER)]
    for logger, _ in before:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
