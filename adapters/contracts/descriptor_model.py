"""The contract of `DescriptorModel`: a name that follows the digest, and rows that follow the pictures."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from ...domain.ports.descriptor_model import DescriptorModel
from ...domain.values.pictures import Pictures, check_headings
from ...domain.values.validators import is_sha256


@attrs.frozen
class DescriptorModelSubject:
    """A network under test, the same one opened again, and one that gives other numbers."""

    model: DescriptorModel
    again: DescriptorModel
    other: DescriptorModel
    size: int
    """Width and height of pictures that it takes."""


class DescriptorModelContract:
    """Tests that every `DescriptorModel` passes. Override `subject`."""

    @pytest.fixture
    def subject(self) -> DescriptorModelSubject:
        """The networks. Override it."""
        raise NotImplementedError

    @pytest.fixture
    def pictures(self, subject: DescriptorModelSubject) -> Pictures:
        """Seven pictures that differ."""
        rng = np.random.default_rng(5)
        return rng.integers(0, 256, (7, subject.size, subject.size, 3), dtype=np.uint8)

    def test_a_network_opened_again_has_the_same_digest_and_gives_the_same_rows(
        self, subject: DescriptorModelSubject, pictures: Pictures
    ) -> None:
        model, again = subject.model, subject.again
        assert (again.name, again.digest, again.headings) == (model.name, model.digest, model.headings)
        np.testing.assert_array_equal(again.describe(pictures), model.describe(pictures))

    def test_a_network_of_other_numbers_has_another_digest_and_another_name(
        self, subject: DescriptorModelSubject, pictures: Pictures
    ) -> None:
        model, other = subject.model, subject.other
        assert is_sha256(model.digest)
        assert is_sha256(other.digest)
        assert model.digest != other.digest
        assert model.name != other.name
        assert model.name.endswith(f"-{model.digest[:16]}")
        assert not np.allclose(model.describe(pictures), other.describe(pictures))

    def test_headings_are_quarter_turns(self, subject: DescriptorModelSubject) -> None:
        assert check_headings(subject.model.headings) == subject.model.headings

    def test_rows_are_float32_finite_and_one_a_picture(
        self, subject: DescriptorModelSubject, pictures: Pictures
    ) -> None:
        for count in (1, 2, 7):
            rows = subject.model.describe(pictures[:count])
            assert rows.dtype == np.float32
            assert rows.ndim == 2
            assert len(rows) == count
            assert np.isfinite(rows).all()

    def test_a_row_depends_on_its_picture_alone(
        self, subject: DescriptorModelSubject, pictures: Pictures
    ) -> None:
        together = subject.model.describe(pictures)
        alone = np.concatenate([subject.model.describe(each[np.newaxis]) for each in pictures])
        backwards = subject.model.describe(pictures[::-1])[::-1]
        np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(backwards, together, rtol=1e-4, atol=1e-5)
        assert len(np.unique(together, axis=0)) == len(pictures)

    def test_pictures_stay_as_they_are_and_may_be_read_only(
        self, subject: DescriptorModelSubject, pictures: Pictures
    ) -> None:
        before = pictures.copy()
        pictures.flags.writeable = False
        subject.model.describe(pictures)
        np.testing.assert_array_equal(pictures, before)

    def test_what_are_no_pictures_is_refused_by_name(
        self, subject: DescriptorModelSubject, pictures: Pictures
    ) -> None:
        for wrong, named in (
            (pictures.astype(np.float32), "unsigned bytes"),
            (pictures[0], "shape"),
            (pictures[:0], "shape"),
            (pictures[..., :1], "shape"),
            ([pictures[0]], "numpy array"),
        ):
            with pytest.raises(ValueError, match=named):
                subject.model.describe(wrong)  # type: ignore[arg-type]  # what a caller may pass by mistake
