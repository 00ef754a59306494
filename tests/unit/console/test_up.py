import sys
from pathlib import Path

import pytest

from console.cli import main


@pytest.mark.parametrize(
    ("workers", "ports", "told"),
    [
        (
            "2",
            {"WORKER__HEALTH": "9100"},
            "SHOAL_WORKER__HEALTH_PORT=9100 is one port, and 2 workers need",
        ),
        (
            "1",
            {"WORKER__HEALTH": "9100", "TRAINING__METRICS": "9100"},
            "SHOAL_WORKER__HEALTH_PORT and SHOAL_TRAINING__METRICS_PORT are both 9100",
        ),
    ],
)
def test_one_port_for_several_processes_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    workers: str,
    ports: dict[str, str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in ports.items():
        monkeypatch.setenv(f"SHOAL_{name}_PORT", port)
    monkeypatch.setattr(sys, "argv", ["shoal", "up", "--workers", workers])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
