import sys
from pathlib import Path

import pytest

from console.cli import main


def test_several_workers_with_one_port_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_WORKER__HEALTH_PORT", "9100")
    monkeypatch.setattr(sys, "argv", ["shoal", "up", "--workers", "2"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "SHOAL_WORKER__HEALTH_PORT=9100 is one port, and 2 workers need one each: set it to 0" in said
    assert list(tmp_path.iterdir()) == []
