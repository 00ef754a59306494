"""What a process tells at `/metrics`."""

import re
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families


def scraped(log: Path, name: str, **labels: str) -> float:
    """Ask the process with this log by HTTP for one of its figures; 0 if it tells none such."""
    [url] = set(re.findall(r"(?:health|metrics) endpoint +url=(http://[^/\s]+)", log.read_text()))
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:  # noqa: S310 - ours
        told = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in told for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())
