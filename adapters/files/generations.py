"""The folders of generations, and the pointer to the generation in use.

    {root}/current                      one line: the name of the generation in use, and what identifies it
    {root}/generations/000001/          the files of one generation; never changed
    {root}/generations/000002.partial/  a build under way, or one whose process died
    {root}/.lock                        held during a build or a switch

A generation's files are synced before the generation gets its name, and the pointer is switched last, by
rename. So a crash at any instant leaves the old or the new generation in use, both whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from ...domain.errors import AerotileError
from ...ext import open_beneath
from .atomic_file import atomic_file, new_file
from .durable_folder import make_folder_durably, publish_folder
from .file_lock import FileLock
from .ownership import give_to_folders_owner
from .regular_file import read_regular, refuse_irregular

POINTER_FILE = "current"
READ_REMEDY = "let this process's user read it, or run it as the user who owns the folder"
_PARTIAL_SUFFIX = ".partial"
# A name is digits alone, so a pointer can never lead out of the generations folder.
_NAME = re.compile(r"[0-9]{6,18}")
_IDENTITY = re.compile(r"[0-9a-f]{64}")
_FOLDER_MODE = 0o750
_FILE_MODE = 0o640
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK  # a FIFO in a file's place must not hang its reader
_POINTER_BYTES = 128


@attrs.frozen
class GenerationKind:
    """What the generations are of, and the errors that say so."""

    noun: str
    """As messages name it, e.g. `index`."""
    unavailable: type[AerotileError]
    """For generations that can't be listed, and a pointer that names none."""
    busy: type[AerotileError]
    """For a build or switch beside another one."""
    remedy: str
    """Against a generation or a pointer that can't be used."""
    build_remedy: str
    """Against the lack of a generation."""

    def unreadable(self, what: str, error: OSError) -> AerotileError:
        """The error for `what`, which can't be read. A missing right is no damage that a new one mends."""
        forbidden = error.errno in (errno.EACCES, errno.EPERM)
        return self.unavailable(
            f"{what} can't be read: {error.strerror or error}",
            remedy=READ_REMEDY if forbidden else self.remedy,
        )


class GenerationFolders:
    """The generations under one root. Methods raise `OSError` unless they say otherwise.

    The operator names the root, so its path may lead over symbolic links. Below the root none is followed.
    """

    def __init__(self, root: Path, kind: GenerationKind) -> None:
        self.root = root
        self._kind = kind
        self._folder = root / "generations"
        self._pointer = root / POINTER_FILE

    def folder(self, name: str) -> Path:
        """The folder of a generation's files."""
        return self._folder / name

    def names(self) -> list[str]:
        """Every whole generation, oldest first. Raises `unavailable` when they can't be listed."""
        try:
            return self._names()
        except OSError as error:
            raise self._kind.unavailable(
                f"the {self._kind.noun} generations in {self._folder} can't be listed: {error.strerror}",
                remedy=READ_REMEDY,
            ) from error

    def _names(self) -> list[str]:
        self._refuse_link()
        try:
            found = [entry.name for entry in self._folder.iterdir() if _NAME.fullmatch(entry.name)]
        except FileNotFoundError:
            return []
        return sorted(found, key=int)

    def current(self) -> str | None:
        """The name of the generation in use; None when there is no pointer. Raises as `in_use`."""
        in_use = self.in_use()
        return None if in_use is None else in_use[0]

    def in_use(self) -> tuple[str, str | None] | None:
        """The name of the generation in use and the identity that its switch noted, read at once.

        None when there is no pointer. Raises `unavailable` when the pointer can't be read or names no
        generation.
        """
        pointer = self.pointer()
        if pointer is not None and not self.folder(pointer[0]).is_dir():
            raise self._kind.unavailable(
                f"the {self._kind.noun} pointer {self._pointer} names no generation: {pointer[0]!r}",
                remedy=self._kind.remedy,
            )
        return pointer

    def pointer(self) -> tuple[str, str | None] | None:
        """The name and the identity that the last switch noted; None when there is no pointer.

        Raises `unavailable` when the pointer can't be read or holds no name. The generation may be gone.
        """
        try:
            content = read_regular(self._pointer, _POINTER_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._kind.unreadable(f"the {self._kind.noun} pointer {self._pointer}", error) from error
        line = content.decode("ascii", "replace").removesuffix("\n")
        name, space, identity = line.partition(" ")
        if not _NAME.fullmatch(name) or (space and not _IDENTITY.fullmatch(identity)):
            raise self._kind.unavailable(
                f"the {self._kind.noun} pointer {self._pointer} names no generation: {line!r}",
                remedy=self._kind.remedy,
            )
        return name, identity if space else None

    def previous(self) -> str:
        """The newest generation older than that in use; the newest of all when the pointer is damaged.

        Raises `unavailable` when there is no such generation, and when none was ever put in use.
        """
        names = self.names()
        try:
            current, is_damaged = self.current(), False
        except self._kind.unavailable:
            current, is_damaged = None, True
        if current is None and names and not is_damaged:
            raise self._kind.unavailable(
                f"no generation of the {self._kind.noun} in {self.root} is in use to go back from",
                remedy=f"name the one to use: {', '.join(names)}",
            )
        older = [name for name in names if current is None or int(name) < int(current)]
        if not older:
            raise self._kind.unavailable(
                f"{self.root} holds no generation older than {current or 'none'}",
                remedy=self._kind.build_remedy,
            )
        return older[-1]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out other builds and switches, of any thread or process; readers are not disturbed.

        Raises `busy` without waiting when another build or switch runs. The lock ends with its
        process.
        """
        self._refuse_link()
        make_folder_durably(self._folder, _FOLDER_MODE)
        lock = FileLock(self.root / ".lock", create_mode=_FILE_MODE)
        if not lock.try_acquire():
            raise self._kind.busy(
                f"another build or switch of the {self._kind.noun} in {self.root} is under way",
                remedy="wait until it has finished, then try again",
            )
        try:
            yield
        finally:
            lock.close()

    def _refuse_link(self) -> None:
        """Raise `OSError` for a linked folder, so that nothing is listed, made or removed elsewhere."""
        if self._folder.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link", str(self._folder))

    @contextmanager
    def building(self, number: int | None = None, *, switch: bool = False) -> Iterator[Path]:
        """A folder for the files of a new generation, which gets its name durably at the end of the block.

        The files must be synced by then. With `switch` the generation is the one in use from then on. When
        the block or a step behind it fails, the generation is removed, as far as the disk allows: the next
        build removes remains under a name with `.partial`, of killed builds too. Needs `locked`.

        The generation gets `number`, which no other one has, or by default the number behind the newest.
        """
        partial = self._begin(number)
        try:
            yield partial
            name = partial.name.removesuffix(_PARTIAL_SUFFIX)
            publish_folder(partial, self.folder(name))
            if switch:
                self.switch(name)
        except BaseException:
            self._discard(partial)
            raise

    def _begin(self, number: int | None) -> Path:
        for entry in self._folder.iterdir():
            if entry.name.endswith(_PARTIAL_SUFFIX):
                shutil.rmtree(entry)
        if number is None:
            names = self._names()
            number = int(names[-1]) + 1 if names else 1
        partial = self._folder / f"{number:06d}{_PARTIAL_SUFFIX}"
        partial.mkdir(_FOLDER_MODE)
        give_to_folders_owner(partial, self._folder)
        return partial

    def switch(self, name: str, identity: str | None = None) -> None:
        """Make a generation the one in use, durably, by one rename. Needs `locked`.

        `identity`, 64 lower hexadecimal digits, is noted with the name.

        When only the last sync fails, the switch was made but may not outlast a power cut.
        """
        with atomic_file(self._pointer, _FILE_MODE) as file:
            file.write(f"{name}{f' {identity}' if identity else ''}\n".encode("ascii"))

    def put_file(self, name: str, file_name: str, content: bytes, mode: int) -> None:
        """Have a generation of one file hold this content, durably. Needs `locked`.

        The folder may be there: of a crash, or with a damaged file.
        """
        if name in self._names():
            if self.folder(name).is_symlink():
                raise OSError(errno.ELOOP, "it is a symbolic link", str(self.folder(name)))
            with atomic_file(self.folder(name) / file_name, mode) as file:
                file.write(content)
            return
        with self.building(int(name)) as partial, new_file(partial / file_name, mode) as file:
            file.write(content)

    def _discard(self, partial: Path) -> None:
        """Remove a failed build, but never the generation in use. Never raises."""
        folders = [partial]
        with contextlib.suppress(OSError, self._kind.unavailable):
            name = partial.name.removesuffix(_PARTIAL_SUFFIX)
            if self.current() != name:
                folders.append(self.folder(name))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def prune(self, keep_older: int) -> None:
        """Remove all but the generation in use and the newest `keep_older` others. Needs `locked`.

        Readers that mapped a removed generation keep their mapping.
        """
        current = self.current()
        others = [name for name in self._names() if name != current]
        for name in others[: max(0, len(others) - keep_older)]:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a generation. Needs `locked`."""
        # Under a name with `.partial`, an interrupted removal is finished by the next build.
        doomed = self._folder / f"{name}{_PARTIAL_SUFFIX}"
        self.folder(name).rename(doomed)
        shutil.rmtree(doomed)


def open_generation_file(folder: Path, name: str) -> int:
    """Open a file of the generation in `folder` for reading, following no symbolic link below the root.

    Raises `OSError`, also when it is no regular file.
    """
    root = os.open(folder.parent.parent, _FOLDER)
    try:
        descriptor = open_beneath(root, f"{folder.parent.name}/{folder.name}/{name}", _FILE)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder / name)) from error
    finally:
        os.close(root)
    return refuse_irregular(descriptor, folder / name)
