"""Values on their way into SQL: no statement is made of them."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hostile_content import INJECTION, STEERING, Answer

REPOSITORY = Path(__file__).parents[3]


def statements() -> Iterator[tuple[str, ast.expr]]:
    """What is handed over as a statement, in every module, with its place."""
    for folder in ("adapters", "migrations"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    for statement in statements_of(node, node.func):
                        yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", statement


def statements_of(call: ast.Call, function: ast.Attribute) -> list[ast.expr]:
    """The arguments of a call that are SQL."""
    if function.attr == "fetch_all":
        return call.args[1:2]  # behind words for a message
    if ast.unparse(function.value) in ("transaction", "self._transaction"):
        # Words for a message, then pairs of a statement and its values.
        return [pair.elts[0] for pair in call.args[1:] if isinstance(pair, ast.Tuple) and pair.elts]
    senders = ("execute", "executemany", "copy", "exec_driver_sql", "text")
    return call.args[:1] if function.attr in senders else []


def is_made_of_constants(expression: ast.expr) -> bool:
    """Whether a statement holds nothing but literals and names in capitals, or is built by the driver."""
    if isinstance(expression, ast.JoinedStr):
        return all(is_made_of_constants(part) for part in expression.values)
    if isinstance(expression, ast.FormattedValue):
        return is_made_of_constants(expression.value)
    if isinstance(expression, ast.Name):
        return expression.id.strip("_").isupper()
    return isinstance(expression, ast.Constant)


def test_no_statement_is_put_together_from_values() -> None:
    built = [
        place
        for place, statement in statements()
        if isinstance(statement, (ast.JoinedStr, ast.BinOp, ast.Call)) and not is_made_of_constants(statement)
    ]
    assert built == []
    assert len(list(statements())) > 30


def test_values_that_look_like_sql_are_values(
    call: Callable[..., Answer], migrated_database: str, tmp_path: Path
) -> None:
    polygon = {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]}
    features = [
        {
            "type": "Feature",
            "properties": {"sector_id": name, "classification": "stable_rear"},
            "geometry": polygon,
        }
        for name in (INJECTION, "%s %(x)s $1 \\", STEERING)
    ]
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    answer = call("sectors", "load", "s.geojson")
    if answer.code != 0:
        assert answer.is_orderly
        (tmp_path / "s.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": features[:2]})
        )
        assert call("sectors", "load", "s.geojson").code == 0
    listed = {sector["sector_id"] for sector in json.loads(call("sectors", "list", "--json").out)["sectors"]}
    assert {INJECTION, "%s %(x)s $1 \\"} <= listed
    for bad in (INJECTION, f"onboard/{INJECTION}/1/0/0", f"imported/1/0/0{INJECTION}"):
        answer = call("delete", bad)
        assert answer.is_orderly
        assert answer.code == 2
    with psycopg.connect(migrated_database) as connection:
        assert connection.execute("SELECT count(*) FROM tiles").fetchone() == (0,)


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss")
def test_a_models_name_is_text(call: Callable[..., Answer], tmp_path: Path) -> None:
    import numpy as np

    np.savez("d.npz", tiles=["imported/3/1/1"], descriptors=np.eye(1, 8, dtype=np.float32))
    for name in (INJECTION, "../../../etc/passwd", STEERING, "a\nb", "x" * 10_000):
        answer = call("index", "build", "--no-store-check", "d.npz", "--model", name)
        assert answer.is_orderly, answer
        assert call("status").is_orderly
    assert {path.name for path in (tmp_path / "aerotile-data/index").iterdir()} == {
        ".lock",
        "current",
        "generations",
    }
