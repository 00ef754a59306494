import json

import pytest

from console.commands.backfill import _say_outlook
from training.backfill import Outlook

OUTLOOK = Outlook("v2", 2, pictures=100, stay=30, submit=50, moves={("c_1", "c_2"): 7})


def test_each_count_of_a_dry_run_is_explained_and_they_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    _say_outlook(OUTLOOK, as_json=False)

    lines = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in capsys.readouterr().out.splitlines()
        if "│" in line
    ]
    counts = {name: int(count) for name, count, *why in lines if count.isdigit() and all(why)}
    assert counts == {"in the ledger": 100, "left alone": 20, "stay": 30, "submitted": 50}


def test_a_script_gets_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    _say_outlook(OUTLOOK, as_json=True)

    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == told["left_alone"] + told["stay"] + told["submit"] == 100
