"""`python -m aerotile.adapters.cli`, for when the script `aerotile` is not on the path."""

import sys

from .program import main

sys.exit(main())
