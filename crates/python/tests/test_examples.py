"""The short ones of the programs that the page shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize("name, least", [("own_data", 93), ("grid_search", 95)])
def test_an_example_reaches_what_the_page_says(name, least, tmp_path):
    run = [sys.executable, EXAMPLES / f"{name}.py"]
    said = subprocess.run(run, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    percent = re.search(r"test (?:accuracy )?(\d+\.\d) %", said)
    assert percent and float(percent[1]) > least, said
