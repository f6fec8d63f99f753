"""docs/openapi.yaml is a valid document, and the reference provider is what it says."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.provider.behaviour import Behaviour, Fault, FaultKind, FaultTarget, RetryAfterForm
from aerotile.adapters.provider.server import ReferenceProvider

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"
BATCH_TYPE = "application/vnd.aerotile.tile-batch"
TOKEN = "a-token-of-the-tests"
NAMESPACE = uuid.UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0")

FINITE = st.floats(min_value=0, max_value=1e9, allow_nan=False)
QUALITIES = st.none() | st.fixed_dictionaries(
    {
        "horizontal_error_m": FINITE,
        "inlier_count": st.integers(0, 10_000),
        "mean_reprojection_error_px": FINITE,
        "sharpness": FINITE,
    }
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """One tile as the document has it, made with nothing of ours."""
    side = draw(st.integers(1, 4096))
    size = side.to_bytes(2, "big") * 2
    picture = (
        b"\xff\xd8\xff\xc0\0\x0b\x08" + size + b"\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0 \xff\xd9"
    )
    content = picture + draw(st.binary(max_size=40))
    zoom = draw(st.integers(0, 22))
    x, y = draw(st.integers(0, 2**zoom - 1)), draw(st.integers(0, 2**zoom - 1))
    source = draw(st.sampled_from(["onboard", "satellite_provider", "imported"]))
    flight_id = str(draw(st.uuids())) if source == "onboard" else None
    named = f"{zoom}/{x}/{y}/{source}/{flight_id or uuid.UUID(int=0)}"
    sha256 = hashlib.sha256(content).hexdigest()
    header = {
        "tile_uuid": str(uuid.uuid5(NAMESPACE, named)),
        "idempotency_key": f"{uuid.uuid5(NAMESPACE, named)}:{sha256}",
        "zoom_level": zoom,
        "x": x,
        "y": y,
        "source": source,
        "flight_id": flight_id,
        "captured_at": draw(st.datetimes()).isoformat() + draw(st.sampled_from(["Z", "+00:00"])),
        "content_sha256": sha256,
        "disk_bytes": len(content),
        "tile_size_pixels": side,
        "ground_sample_distance": draw(st.floats(min_value=1e-3, max_value=1e5)),
        "quality": draw(QUALITIES) if source == "onboard" else None,
    }
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode()
    return len(text).to_bytes(4, "big") + text + content


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """A body with a piece cut out, put in or changed."""
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, len(body)))
    return body[:start] + draw(st.binary(max_size=8)) + body[end:]


def header_of(frame: bytes) -> dict[str, Any]:
    return json.loads(frame[4 : 4 + int.from_bytes(frame[:4], "big")])


BATCHES = st.lists(frames(), min_size=1, max_size=4, unique_by=lambda f: header_of(f)["tile_uuid"])
schemathesis.openapi.media_type(BATCH_TYPE, BATCHES.map(b"".join))
schema = schemathesis.openapi.from_path(DOCUMENT)
document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceProvider]:
    with ReferenceProvider(tmp_path_factory.mktemp("provider"), Secret(TOKEN)) as running:
        yield running


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def complete(case: schemathesis.Case) -> None:
    """Put in what can't be generated: the token, and the digest of the body. Bad headers stay bad."""
    components = case.meta.components if case.meta is not None else {}
    headers = components.get(ParameterLocation.HEADER)
    if headers is None or headers.mode.is_positive:
        case.headers["Authorization"] = f"Bearer {TOKEN}"
        if isinstance(case.body, bytes):
            case.headers["Content-Digest"] = digest(case.body)


def test_the_document_is_valid_openapi_3_1() -> None:
    assert document["openapi"].startswith("3.1.")
    schema.validate()


def test_every_example_in_the_document_is_valid_by_its_schema() -> None:
    examples = list(_examples(document))
    assert len(examples) >= 8
    for where, example, its_schema in examples:
        try:
            jsonschema_rs.validator_for(
                {**its_schema, "components": document["components"]}, validate_formats=True
            ).validate(example)
        except jsonschema_rs.ValidationError as error:
            pytest.fail(f"{where}: {error}")


def _examples(node: Any, where: str = "#") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    if isinstance(node, list):
        for place, item in enumerate(node):
            yield from _examples(item, f"{where}/{place}")
    if isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield where, node["example"], node["schema"]
        for name, example in node.get("examples", {}).items() if "schema" in node else ():
            yield f"{where}/{name}", example["value"], node["schema"]
        for name, item in node.items():
            yield from _examples(item, f"{where}/{name}")


@schema.parametrize()
@settings(suppress_health_check=list(HealthCheck))
def test_the_provider_answers_every_request_as_the_document_says(
    case: schemathesis.Case, provider: ReferenceProvider
) -> None:
    complete(case)
    # Parameters that nobody knows are ignored, which some versions of schemathesis take for a fault.
    ignored = set(case.query or {}) - {"after", "limit"}
    answer = case.call_and_validate(
        base_url=provider.url, excluded_checks=[negative_data_rejection] if ignored else []
    )
    if answer.status_code == 200 and case.operation.method == "post":
        rejected = [result["reason"]["code"] for result in answer.json()["results"] if "reason" in result]
        assert set(rejected) <= {"content_conflict"}


@given(body=st.binary(max_size=400) | st.lists(frames(), max_size=3).map(b"".join).flatmap(damaged))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_body_of_any_bytes_is_answered_as_the_document_says(
    body: bytes, provider: ReferenceProvider
) -> None:
    case = schema["/v1/tiles:batch"]["POST"].Case(
        body=body, media_type=BATCH_TYPE, headers={"Aerotile-Protocol": "1"}
    )
    complete(case)
    case.call_and_validate(base_url=provider.url)


DOCUMENTED = [
    (path, method, int(status))
    for path, operations in document["paths"].items()
    for method, operation in operations.items()
    for status in operation["responses"]
    if status != "200" and path != "/v1/health"
]


@pytest.mark.parametrize("form", RetryAfterForm, ids=lambda form: form.value)
@pytest.mark.parametrize(("path", "method", "status"), DOCUMENTED)
def test_each_documented_failure_can_be_made_to_happen_and_is_as_the_document_says(
    provider: ReferenceProvider, path: str, method: str, status: int, form: RetryAfterForm
) -> None:
    target = FaultTarget.TILES if "tiles" in path else FaultTarget.VOTES
    waits = "Retry-After" in _resolved(document["paths"][path][method]["responses"][str(status)])["headers"]
    fault = Fault(
        kind=FaultKind.STATUS,
        on=target,
        status=status,
        retry_after_s=7 if waits else None,
        retry_after_form=form,
    )
    body = {"body": b"any", "media_type": BATCH_TYPE} if method == "post" else {}
    case = schema[path][method.upper()].Case(headers={"Aerotile-Protocol": "1"}, **body)
    complete(case)
    provider.behaviour = Behaviour(faults=(fault,))
    try:
        answer = case.call(base_url=provider.url)
        case.validate_response(answer, excluded_checks=[not_a_server_error])
    finally:
        provider.behaviour = Behaviour()
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == waits


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = document
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found
