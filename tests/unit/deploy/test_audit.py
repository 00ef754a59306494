import json
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import audit

CLEAN = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
HOLE = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


def audited(monkeypatch: pytest.MonkeyPatch, answer: str, errors: str = "") -> int:
    done = SimpleNamespace(stdout=answer, stderr=errors)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    return audit.main()


def of(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_known_hole_fails_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, of(CLEAN, HOLE)) == 1
    assert "c 2: CVE-1, mended in 3" in capsys.readouterr().out


def test_no_hole_passes_and_says_how_many_were_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, of(CLEAN, UNKNOWN)) == 0
    assert "0 known holes, 1 of 2 packages checked" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [of(UNKNOWN, UNKNOWN), "", "no json"])
@pytest.mark.parametrize(("required", "status"), [("", 0), ("required", 1)])
def test_an_audit_that_checked_nothing_is_not_called_clean(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    required: str,
    status: int,
) -> None:
    monkeypatch.setenv("AUDIT", required)
    assert audited(monkeypatch, answer, "ConnectionError: no such host") == status
    assert "NOT MADE" in capsys.readouterr().out


def test_a_service_that_does_not_answer_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("pip-audit", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    monkeypatch.delenv("AUDIT", raising=False)
    assert audit.main() == 0
    assert "NOT MADE, nothing is known about holes: no answer" in capsys.readouterr().out
