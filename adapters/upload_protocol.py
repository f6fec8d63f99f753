"""Constants of the upload protocol (docs/openapi.yaml), for the client and for the reference provider."""

from __future__ import annotations

import re

PROTOCOL_VERSION = "1"
PROTOCOL_HEADER = "Aerotile-Protocol"
BATCH_PATH = "/v1/tiles:batch"
VOTES_PATH = "/v1/votes"
BATCH_TYPE = "application/vnd.aerotile.tile-batch"
PROBLEM_TYPE = "urn:aerotile:problem:"
"""The beginning of every problem's `type`; the problem's code follows."""
HEADER_LENGTH_BYTES = 4
"""Each tile of a batch begins with the length of its JSON header, big-endian."""
CURSOR = re.compile(r"[0-9]{1,18}")
"""The form of a position in the list of votes."""
