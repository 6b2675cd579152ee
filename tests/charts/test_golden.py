"""What a change of a chart changes is seen in the review: ``make charts-golden`` writes it anew."""

from pathlib import Path

import pytest

from tests.charts.cases import CASES, GOLDEN, golden_text, write_golden


@pytest.mark.parametrize("case", CASES)
def test_render_is_the_one_on_file(case: str) -> None:
    assert golden_text(case) == (GOLDEN / f"{case}.yaml").read_text(), "if it should be so: make charts-golden"


def test_no_file_is_left_over(tmp_path: Path) -> None:
    write_golden(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in GOLDEN.iterdir()}
