"""Options that say which imagery a provision reads, and what of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import attrs

from .capture_times import ChosenTimes
from .errors import BadInputError

if TYPE_CHECKING:
    from ...domain.intake.mosaic import Mosaic
    from ...domain.values.areas import Area
    from ...domain.values.datasets import SourceDigest
    from ..composition.source_files import SourceFile
    from ..tile_services.open_service import ServiceTerms
    from .session import Session


@attrs.frozen
class SourceOptions:
    """The sources of a provision, and what is taken of them."""

    names: tuple[str, ...]
    levels: tuple[int, ...] | None
    file_date: bool
    scheme: str | None
    enlarge: bool
    partial: bool

    def check(self, chosen: ChosenTimes) -> None:
        """Raise `BadInputError` for options that contradict each other or have no effect."""
        if self.file_date and chosen.option is not None:
            raise BadInputError(
                f"{chosen.option} and --file-date both say when the tiles were captured", remedy="give one"
            )
        if self.enlarge and self.levels is None:
            raise BadInputError("--enlarge makes zooms of --zoom, and none is given", remedy="give --zoom")

    def files(self, *, with_folders: bool) -> list[SourceFile]:
        """The files as they are now, to be compared at the end. Raises `OSError`."""
        from ..composition.imagery_parts import file_and_table
        from ..composition.source_files import SourceFile

        paths = {name: file_and_table(name)[0] for name in self.names}
        return [
            SourceFile.of(name)
            for name, path in paths.items()
            if path.is_file() or (path.is_dir() and with_folders)
        ]

    def digest(self) -> SourceDigest | None:
        """The digest of the source. None for a server, and for several sources: a dataset has one."""
        from ..composition.imagery_parts import digest_of_source

        return digest_of_source(self.names[0], self.scheme) if len(self.names) == 1 else None

    @contextmanager
    def open_mosaic(
        self, session: Session, service: ServiceTerms | None, area: Area | None
    ) -> Iterator[Mosaic]:
        """The sources as one, open within. Raises `ImagerySourceError`."""
        from ...domain.intake.mosaic import Mosaic
        from ..composition.imagery_parts import (
            open_imagery_source,
            refuse_scheme_without_rows,
            tile_picture_codec,
        )

        tile_size = session.config.tiles.tile_size_pixels
        enlarge_to = max(self.levels) if self.enlarge and self.levels else None
        with ExitStack() as stack:
            sources = [
                stack.enter_context(
                    open_imagery_source(
                        name,
                        tile_size=tile_size,
                        scheme=self.scheme,
                        enlarge_to=enlarge_to,
                        service=service,
                    )
                )
                for name in self.names
            ]
            refuse_scheme_without_rows(sources, self.scheme)
            yield Mosaic.of(sources, tile_picture_codec(tile_size), zooms=self.levels or (), area=area)
