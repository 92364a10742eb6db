import json
import sys
from pathlib import Path

import pytest
from omnidex_benchmarks.startup import EMPTY_APP, run
from omnidex_benchmarks.timing import machine, spread

from omni_encoder import OmniError


def test_an_empty_app_costs_about_as_much_as_itself(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(EMPTY_APP)

    result = json.loads(json.dumps(run(turns=2, command=[sys.executable, str(script)])))

    assert 0.2 < result["ratio"] < 5  # same work; wide, for the machine may be busy
    assert result["ratios"]["min"] <= result["ratio"] <= result["ratios"]["max"]
    assert result["omnidex_s"]["min"] > 0
    assert result["machine"]["versions"]["typer"]


def test_a_command_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text("raise SystemExit('out of order')")

    with pytest.raises(OmniError, match="failed with status 1") as caught:
        run(turns=1, command=[sys.executable, str(script)])

    assert caught.value.hint == "out of order"


def test_no_turns_and_no_values_are_value_errors() -> None:
    with pytest.raises(ValueError, match="turns must be at least 1"):
        run(turns=0)
    with pytest.raises(ValueError, match="at least one value"):
        spread([])


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert machine("no-such-package")["versions"] == {"no-such-package": None}
