"""The figures of the core, each measured beside its baseline: `python -m tests.benchmarks [names...]`.

Nothing here is a test: times depend on the machine, so only ratios are judged, and never by pytest.
"""

import sys
from pathlib import Path

# The command works in a fresh checkout, whatever PYTHONPATH says and whether the platform is installed or not.
_PLATFORM = str(Path(__file__).resolve().parents[2] / "platform")
if _PLATFORM not in sys.path:
    sys.path.insert(1, _PLATFORM)
