"""The account of an embedded server: PostgreSQL refuses root, and the system must not be changed."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import attrs

from ...domain.errors import RuntimeNotAvailableError


@attrs.frozen
class ServerAccount:
    """The owner of a cluster's files, and the uid that the server sees as its own in place of 0."""

    uid: int
    gid: int
    namespace_uid: int | None = None

    def __str__(self) -> str:
        if self.namespace_uid is not None:
            return f"uid {self.uid}, shown as uid {self.namespace_uid} in a user namespace"
        return f"uid {self.uid}"


def possible_accounts(data_folder: Path, cluster: Path) -> tuple[ServerAccount, ...]:
    """The accounts that may run this cluster's server, best first.

    Files keep their owner: the server for a user's folder runs as that user. For root's own folder, a user
    namespace shows PostgreSQL another uid; where namespaces are refused, a new cluster may belong to the user
    `nobody`. A uid without a name, as in containers, is shown to initdb as a uid with a name.
    Raises `RuntimeNotAvailableError`, `OSError`.
    """
    owner = (cluster if cluster.exists() else data_folder).stat()
    own_uid = os.geteuid()
    if own_uid != 0:
        if cluster.exists() and owner.st_uid != own_uid:
            raise RuntimeNotAvailableError(
                f"the database in {data_folder} belongs to uid {owner.st_uid}, not to uid {own_uid}, "
                "which this process runs as",
                remedy="run as the owner of the folder, choose another folder, or set a DSN",
            )
        return _as_user(ServerAccount(own_uid, os.getegid()), cluster)
    if owner.st_uid != 0:
        return _as_user(ServerAccount(owner.st_uid, owner.st_gid), cluster)
    in_namespace = ServerAccount(0, 0, _ordinary_uid())
    if cluster.exists():
        return (in_namespace,)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return (in_namespace,)
    return in_namespace, ServerAccount(nobody.pw_uid, nobody.pw_gid)


def _as_user(user: ServerAccount, cluster: Path) -> tuple[ServerAccount, ...]:
    """An ordinary user, whom initdb must see under a name."""
    if cluster.exists() or _has_name(user.uid):
        return (user,)
    return attrs.evolve(user, namespace_uid=_ordinary_uid()), user


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _ordinary_uid() -> int:
    """A uid other than root's that has a name, since initdb asks for the name of its user."""
    # 65534 is also what every unmapped owner looks like inside a namespace, so it comes last.
    uids = sorted(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0)
    return next(iter(uids), 65534)
