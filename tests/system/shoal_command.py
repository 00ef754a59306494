import json
import sys
from typing import Any

import pytest

from console.cli import main
from tests.system.running_platform import OF_THE_TESTS, Platform


class Shoal:
    """Runs `shoal` commands in this process, with the environment of a platform."""

    def __init__(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name, value in platform.environment().items():
            if name.startswith("SHOAL_"):
                monkeypatch.setenv(name, value)
        monkeypatch.chdir(platform.workdir)

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Give what it printed: standard output, or the error if a failure was expected."""
        self._monkeypatch.setattr(sys, "argv", ["shoal", *arguments])
        self._capsys.readouterr()
        with self._monkeypatch.context() as meanwhile:
            for name in OF_THE_TESTS:
                meanwhile.delenv(name, raising=False)
            with pytest.raises(SystemExit) as ended:
                main()
        printed = self._capsys.readouterr()
        assert (ended.value.code or 0) == status, printed.err + printed.out
        return printed.out if status == 0 else printed.out + " ".join(printed.err.split())

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status).splitlines()[0])
