"""No code of ours reads pickles: what comes from a store or a broker could run anything that way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("producer", "worker", "model_store", "training", "console", "benchmarks")
FORBIDDEN_MODULES = frozenset(
    {
        "pickle",
        "_pickle",
        "cPickle",
        "pickletools",
        "shelve",
        "dill",
        "cloudpickle",
        "joblib",
        "marshal",
        "yaml",
    }
)
FORBIDDEN_NAMES = frozenset({"read_pickle", "unpickle", "add_safe_globals"})


def faults(source: str) -> Iterator[str]:
    """Tell what in a module may read a pickle."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            names += [alias.name for alias in node.names]  # `from x import pickle`
            yield from (f"imports {name}" for name in names if name.partition(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            yield from _faults_of_call(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in FORBIDDEN_NAMES:
                yield f"uses {name}"


def _faults_of_call(call: ast.Call) -> Iterator[str]:
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if ast.unparse(call.func) in {"torch.load", "torch.hub.load"} and options.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if options.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if options.get("weights_only", "True") != "True":
        yield "weights_only is not True"


MODULES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def test_no_module_of_ours_reads_pickles() -> None:
    assert len(MODULES) > 80
    found = [f"{path.relative_to(ROOT)}: {fault}" for path in MODULES for fault in faults(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import numpy, pickle as p",
        "from pickle import loads",
        "from six.moves import cPickle",
        "import joblib.numpy_pickle",
        "from joblib import load",
        "import shelve",
        "import dill",
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=False)",
        "import torch\ntorch.load(f, weights_only=flag)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(f)",
        "def f():\n  import pickle",
    ],
)
def test_the_check_finds_every_way_in(source: str) -> None:
    assert list(faults(source))
