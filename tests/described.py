"""The API as it describes itself: the document of the repository, which takes long to make anew in every worker."""

import json
from pathlib import Path
from typing import Any

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[1] / "openapi" / "gateway.json").read_bytes())
"""What ``gateway openapi`` writes; ``test_openapi.py`` sees to it that it is the one that is served."""
