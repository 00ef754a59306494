"""`python -m benchmarks.contenders.submitter MODULE < IMAGES` queues pictures as one contender's clients do.

Prints the CPU seconds that it took, imports and connections left out.
"""

import importlib
import json
import sys
import time


def main() -> None:
    """Read [[image_id, key], ...], queue them, tell what it cost."""
    contender = importlib.import_module(f"benchmarks.contenders.{sys.argv[1]}")
    images = json.load(sys.stdin)
    started = time.process_time()
    contender.submit([(image_id, key) for image_id, key in images])
    print(time.process_time() - started)


if __name__ == "__main__":
    main()
