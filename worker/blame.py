"""How many deaths of workers a message is allowed before it is taken apart, or its one picture condemned.

A picture is condemned only by the death of a worker that had lived for a while: where workers are killed
as fast as they start, whatever they hold at that moment would look like the killer.
"""

from typing import Final

from producer.contracts import ClassifyImages
from producer.envelope import Letter

DEATHS_OF_A_WHOLE: Final = 3  # before a message is taken apart
DEATHS_OF_A_HALF: Final = 1  # it is suspect enough
DEATHS_OF_THE_LAST: Final = 2  # one picture: before it is blamed, since workers also die of other things


def deaths_left(letter: Letter, message: ClassifyImages, deaths: int) -> int:
    """Tell how many more there may be; 0 or less: it is to blame."""
    if letter.split is None:
        return DEATHS_OF_A_WHOLE - deaths
    return (DEATHS_OF_A_HALF if len(message.images) > 1 else DEATHS_OF_THE_LAST) - deaths


def needs_witness(message: ClassifyImages, left: int) -> bool:
    """Tell whether one more death would condemn a picture."""
    return left == 1 and len(message.images) == 1
