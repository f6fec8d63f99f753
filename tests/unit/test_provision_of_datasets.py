"""Provisions of datasets, and with newer imagery in an older one's place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from budgeted_cache import NOW
from provision_site import Site, counts, dataset, picture, source_of, tile

from aerotile.domain.errors import (
    DatasetNotStorableError,
    DatasetSourceChangedError,
    UnknownDatasetError,
)
from aerotile.domain.intake.compare_stored import OnContest
from aerotile.domain.values.datasets import DigestOf, SourceDigest


def test_tiles_of_a_dataset_have_its_name_and_its_date() -> None:
    site = Site(datasets=[dataset("a", captured_at=NOW - timedelta(days=4))])
    assert counts(site.provision([source_of(tile(1))], at=None, dataset="a")) == (1, 0, 0)
    (row,) = site.cache.rows.committed()
    assert (row.dataset, row.captured_at) == ("a", NOW - timedelta(days=4))


def test_dates_by_tile_leave_out_what_has_none() -> None:
    site = Site()
    own = {1: NOW - timedelta(days=2)}
    report = site.provision([source_of(tile(1), tile(2))], at=lambda one: own.get(one.x))
    assert site.dates() == own
    assert (report.intake.undated, report.intake.first_undated) == (1, "memory: 8/2/0")


@pytest.mark.parametrize("only_missing", [False, True])
def test_a_place_of_another_dataset_is_contested(only_missing: bool) -> None:
    site = Site(datasets=[dataset("a"), dataset("b")])
    site.provision([source_of(tile(1))], dataset="a")
    both = [source_of(tile(1, 5), tile(2))]
    report = site.provision(both, dataset="b", only_missing=only_missing)
    assert (counts(report), [one.held_by for one in report.intake.contests]) == ((1, 0, 0), ["a"])
    assert site.stored() == {1: picture(1), 2: picture(2)}
    kept = site.provision(both, dataset="b", only_missing=only_missing, on_contest=OnContest.KEEP)
    assert (counts(kept), kept.intake.kept, kept.not_compared) == ((0, 1, 0), 1, int(only_missing))


def test_a_dataset_that_may_not_go_in_is_refused_before_a_tile_is_read() -> None:
    site, source = (
        Site(datasets=[dataset("a", may_be_stored_offline=False), dataset("b")]),
        source_of(tile(1)),
    )
    with pytest.raises(DatasetNotStorableError):
        site.provision([source], dataset="a")
    with pytest.raises(UnknownDatasetError):
        site.provision([source], dataset="c")
    with pytest.raises(DatasetSourceChangedError):
        site.provision([source], dataset="b", source_digest=SourceDigest(DigestOf.FILE, "cd" * 32))
    assert source.was_read == []


def test_newer_imagery_replaces_older_where_that_is_asked_for() -> None:
    site = Site()
    site.provision([source_of(tile(1), tile(2))], at=NOW - timedelta(days=9))
    newer = source_of(tile(1, 5), is_remote=True)
    report = site.provision([newer], at=NOW, on_contest=OnContest.REPLACE)
    assert (report.intake.replaced, report.not_compared, counts(report)) == (1, 0, (0, 0, 0))
    assert site.stored() == {1: picture(5001), 2: picture(2)}
    assert site.dates()[1] == NOW
