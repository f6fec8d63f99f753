"""Every parser of outside bytes, given anything: a result or an error of the tree; nothing else, and soon.

`TEST_FUZZ_EXAMPLES` says how many inputs each parser gets of each kind. What once failed is kept in
corpus/PARSER/ and is tried first, on every run; whoever finds another one puts it there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz_parsers import PARSERS
from fuzz_targets import Parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("TEST_FUZZ_EXAMPLES", settings.default.max_examples * 3 // 5))
CORPUS = Path(__file__).with_name("corpus")
MOST_MEMORY_BYTES = 64 << 20


def line_of_a_megabyte() -> bytes:
    """A line longer than any that is written, and a whole one behind it; made here for its size."""
    whole = (CORPUS / "record" / "carriage-returns").read_bytes().replace(b"\r\n", b"\n")
    return b"x" * ((1 << 20) + 1) + b"\n" + whole


KEPT: dict[str, Callable[[], bytes]] = {
    "record/line-of-a-megabyte": line_of_a_megabyte,
    **{str(path.relative_to(CORPUS)): path.read_bytes for path in CORPUS.glob("*/*") if path.is_file()},
}
"""What makes each input, by its parser and its name."""

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

unhurried = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def check(parser: Parser, content: bytes) -> None:
    """The input is taken or refused; whatever else is raised is the finding."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        parser.parse(content, folder)
    except parser.refusals:
        pass
    except Exception as error:
        raise AssertionError(
            f"{parser.name} can't take {content!r}: keep it in {CORPUS / parser.name}"
        ) from error
    finally:
        shutil.rmtree(folder)


def by_name(name: str) -> Parser:
    (parser,) = [parser for parser in PARSERS if parser.name == name]
    return parser


@st.composite
def changed(draw: st.DrawFn, parser: Parser) -> bytes:
    """A good sample after one to six changes that keep most of its shape."""
    content = bytearray(draw(st.sampled_from(parser.samples)))
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.integers(0, 12)))
        what = draw(st.sampled_from(["flip", "word", "bytes", "delete", "repeat", "move", "cut"]))
        if what == "flip" and begin < len(content):
            content[begin] ^= 1 << draw(st.integers(0, 7))
        elif what == "word" and parser.words:
            content[begin:end] = draw(st.sampled_from(parser.words))
        elif what == "bytes":
            content[begin:end] = draw(st.binary(max_size=8))
        elif what == "delete":
            del content[begin:end]
        elif what == "repeat":
            content[begin:begin] = content[begin:end] * draw(st.integers(1, 50))
        elif what == "move":
            part = content[begin:end]
            del content[begin:end]
            place = draw(st.integers(0, len(content)))
            content[place:place] = part
        elif what == "cut":
            del content[begin:]
    return bytes(content)


@pytest.mark.parametrize("name", sorted(KEPT))
def test_what_was_found_once_is_handled_ever_after(name: str) -> None:
    content = KEPT[name]()
    tracemalloc.start()
    try:
        check(by_name(name.split("/")[0]), content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY_BYTES


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_good_input_is_taken(parser: Parser, tmp_path: Path) -> None:
    for number, sample in enumerate(parser.samples):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            parser.parse(sample, folder)
        except parser.refusals:
            assert parser.name in ("index_pointer", "environment", "server_state", "arguments", "tile_keys")


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_any_bytes_are_taken_or_refused(parser: Parser) -> None:
    @unhurried
    @given(st.binary(max_size=400))
    def run(content: bytes) -> None:
        check(parser, content)

    run()


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_good_input_that_was_changed_is_taken_or_refused(parser: Parser) -> None:
    @unhurried
    @given(changed(parser))
    def run(content: bytes) -> None:
        check(parser, content)

    run()


def test_every_parser_has_a_corpus_and_every_corpus_a_parser() -> None:
    assert {name.split("/")[0] for name in KEPT} == {parser.name for parser in PARSERS}
