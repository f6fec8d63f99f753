"""`DaskRunner` over a real cluster in this process: bounds, refusals by name, and who is waited for."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from waiting import until

pytest.importorskip("distributed")

from distributed import Client, Future, LocalCluster

import aerotile.adapters.dask.runner as dask_runner
from aerotile.adapters.dask.runner import DaskRunner, runner_of_scheduler
from aerotile.domain.errors import BaseSealError, ImagerySourceError, IndexBuildError


def same() -> dict[str, str]:
    return {"numpy": "2.0", "Python": "3.12"}


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as opened:
        yield opened


@pytest.fixture
def runner(cluster: LocalCluster) -> Iterator[DaskRunner]:
    made = DaskRunner(connect=lambda: Client(cluster, set_as_default=False), environment=same)
    yield made
    made.close()


def test_every_task_has_its_result_and_few_are_under_way(runner: DaskRunner) -> None:
    drawn = most = 0
    found: list[int] = []

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for number in range(60):
            drawn += 1
            yield number

    for result in runner.run("square", lambda number: number * number, tasks()):
        most = max(most, drawn - len(found))
        found.append(result)
    assert sorted(found) == [number * number for number in range(60)]
    assert most <= 6  # three for each of two threads


def test_a_large_task_runs_beside_what_its_caller_does(runner: DaskRunner, tmp_path: Path) -> None:
    with runner.beside("graph", gated(tmp_path), 4) as wait:
        until(lambda: (tmp_path / "begun").exists())
        (tmp_path / "go").touch()
        assert wait() == 5
    assert list(runner.run("square", lambda number: number * number, [3])) == [9]


def test_a_large_task_whose_worker_is_gone_is_done_by_the_next_one(
    cluster: LocalCluster, runner: DaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Client.submit

    def after_the_worker(client: Client, *args: Any, **named: Any) -> Future:
        if named["workers"] is not None:  # chosen, and gone before the task is there
            cluster.scale(0)
            until(lambda: not client.nthreads())
        return submit(client, *args, **named)

    monkeypatch.setattr(Client, "submit", after_the_worker)
    with runner.beside("graph", lambda number: number + 1, 4) as wait:
        cluster.scale(1)
        assert wait() == 5


def test_a_large_task_that_another_worker_has_begun_is_not_begun_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, ended = Client.submit, DaskRunner._ended
    submitted = looks = 0

    def counted(client: Client, *args: Any, **named: Any) -> Future:
        nonlocal submitted
        submitted += 1
        return submit(client, *args, **named)

    def let_go_at_the_third_look(runner: DaskRunner, under_way: Mapping[Future, Any]) -> list[Future]:
        nonlocal looks
        looks += 1
        if looks < 3:
            runner._looked = 0.0
            return []
        (tmp_path / "go").touch()
        return ended(runner, under_way)

    monkeypatch.setattr(Client, "submit", counted)
    monkeypatch.setattr(DaskRunner, "_ended", let_go_at_the_third_look)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        runner = DaskRunner(connect=lambda: Client(cluster, set_as_default=False), environment=same)
        client = runner._client

        def running_on() -> list[str]:
            return [address for address, keys in client.processing().items() if keys]

        with runner.beside("graph", gated(tmp_path), 4) as wait:
            until(lambda: (tmp_path / "begun").exists())
            (first,) = running_on()
            (tmp_path / "begun").unlink()
            client.sync(cluster.scheduler.remove_worker, first, stimulus_id="it died")
            until(lambda: (tmp_path / "begun").exists())
            assert running_on() != [first]
            assert wait() == 5
        assert submitted == 1
        runner.close()


def test_the_patience_with_a_cluster_without_workers_begins_when_somebody_waits(
    cluster: LocalCluster, runner: DaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, looks = DaskRunner._ended, 0

    def with_a_worker_at_the_second_look(runner: DaskRunner, under_way: Mapping[Future, Any]) -> list[Future]:
        nonlocal looks
        looks += 1
        if looks == 1:
            return []
        cluster.scale(1)
        until(lambda: bool(runner._client.nthreads()))
        return ended(runner, under_way)

    monkeypatch.setattr(DaskRunner, "_ended", with_a_worker_at_the_second_look)
    with runner.beside("graph", lambda number: number + 1, 4) as wait:
        cluster.scale(0)
        until(lambda: not runner._client.nthreads())
        runner._had_threads -= 3600  # the caller did something else, and the worker has just died
        runner._looked = 0.0
        assert wait() == 5


def test_a_large_task_that_nobody_waits_for_is_given_up(runner: DaskRunner, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), runner.beside("graph", gated(tmp_path), 4):
        raise ZeroDivisionError
    until(lambda: not runner._client.futures)
    (tmp_path / "go").touch()


def gated(folder: Path) -> Callable[[int], int]:
    """A task that says that it has begun, and ends when it is let go: by files, because it is pickled."""

    def work(task: int) -> int:
        (folder / "begun").touch()
        until((folder / "go").exists)
        return task + 1

    return work


def test_an_error_of_a_large_task_names_the_worker(runner: DaskRunner) -> None:
    def refuse(task: int) -> None:
        raise IndexBuildError("too little memory", remedy="build on a larger machine")

    with (
        pytest.raises(BaseSealError, match=r"worker \S+: too little memory"),
        runner.beside("graph", refuse, 1) as wait,
    ):
        wait()


def test_the_memory_of_the_cluster_is_that_of_its_largest_worker(
    runner: DaskRunner, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (runner.available_memory_bytes() or 0) > 1 << 20
    monkeypatch.setattr(dask_runner, "available_memory_bytes", lambda: 5 << 50)
    limit = cluster.scheduler_info["workers"][cluster.workers[0].address]["memory_limit"]
    assert runner.available_memory_bytes() == int(limit * 0.8)


def test_a_task_that_is_none_is_a_task_too(runner: DaskRunner) -> None:
    assert list(runner.run("name", repr, [None, 0])) in (["None", "0"], ["0", "None"])
    assert list(runner.run("name", repr, [])) == []


def test_an_error_names_the_worker_and_the_remedy(runner: DaskRunner) -> None:
    def refuse(task: int) -> None:
        raise ImagerySourceError("ortho.tif can't be read", remedy="copy it again")

    with pytest.raises(BaseSealError, match=r"worker \S+: ortho.tif can't be read") as raised:
        list(runner.run("cut", refuse, [1]))
    assert raised.value.remedy == "copy it again"


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "has no room left: /shared/x"), (errno.EIO, "failed: /shared/x")]
)
def test_a_worker_whose_disk_fails_is_named(runner: DaskRunner, number: int, said: str) -> None:
    def write(task: int) -> None:
        raise OSError(number, "the reason", "/shared/x")

    with pytest.raises(BaseSealError, match=rf"worker \S+ {said}") as raised:
        list(runner.run("cut", write, [1]))
    assert "what is finished stays" in str(raised.value.remedy)


def test_a_defect_in_a_step_is_no_silent_retry(runner: DaskRunner) -> None:
    with pytest.raises(BaseSealError, match="a worker can't run the phase cut: ZeroDivisionError"):
        list(runner.run("cut", lambda number: 1 // number, [0]))


def test_a_worker_with_another_version_is_refused_by_name(cluster: LocalCluster) -> None:
    def by_thread() -> dict[str, str]:
        is_worker = threading.current_thread() is not threading.main_thread()
        return {"numpy": "1.26" if is_worker else "2.0", "Python": "3.12"}

    runner = DaskRunner(connect=lambda: Client(cluster, set_as_default=False), environment=by_thread)
    try:
        with pytest.raises(BaseSealError, match=r"worker \S+ differs .*: numpy 1.26, not 2.0"):
            list(runner.run("cut", abs, [1]))
    finally:
        runner.close()


def test_without_a_worker_the_run_ends_and_names_the_scheduler() -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        with (
            runner_of_scheduler(address, same, patience_s=0.5) as runner,
            pytest.raises(BaseSealError, match=f"{address} has had no worker for"),
        ):
            list(runner.run("cut", abs, [1]))


def test_a_result_that_is_lost_with_the_last_worker_ends_the_run(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = DaskRunner._ended

    def lost_at_first(runner: DaskRunner, under_way: Mapping[Future, Any]) -> list[Future]:
        until(lambda: all(future.status != "pending" for future in under_way))
        cluster.scale(0)
        until(lambda: all(future.status == "lost" for future in under_way))
        return ended(runner, under_way)

    monkeypatch.setattr(DaskRunner, "_ended", lost_at_first)
    with (
        runner_of_scheduler(cluster.scheduler_address, same, patience_s=0.5) as runner,
        pytest.raises(BaseSealError, match="has had no worker for"),
    ):
        list(runner.run("cut", abs, [1]))


@pytest.mark.parametrize(
    ("address", "said"),
    [("tcp://127.0.0.1:9", "the scheduler does not answer"), ("carrier:pigeon", "is no address of a sched")],
)
def test_a_scheduler_that_is_not_there_is_refused(address: str, said: str) -> None:
    with (
        pytest.raises(BaseSealError, match=said),
        runner_of_scheduler(address, same, patience_s=0.5),
    ):
        pass
