"""What docs/security.md says is tested is."""

import re
from pathlib import Path

SIM = Path(__file__).parent.parent


def test_every_test_it_names_is_there() -> None:
    document = (SIM.parent.parent / "docs" / "security.md").read_text()
    named = re.findall(r"`([\w/.]+\.py)::(\w+)`", document)
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (SIM / file).read_text(), f"{file}::{test}"
