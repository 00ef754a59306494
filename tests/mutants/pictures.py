"""Remedies against hostile pictures."""

from tests.mutants.mutant import Mutant

REMEDIES = (
    Mutant(
        "pixels are not limited",
        "model_store/admission.py",
        "    if width * height > limits.max_pixels:",
        "    if False:",
        ("tests/unit/model_store/test_decode_bombs.py",),
    ),
    Mutant(
        "scans are not counted",
        "model_store/admission.py",
        "    if count_scans(container.data, limits.max_scans) > limits.max_scans:",
        "    if False:",
        ("tests/unit/model_store/test_decode_bombs.py",),
    ),
    Mutant(
        "lying headers are believed",
        "model_store/admission.py",
        "    if len(container.data) < limits.min_bytes_per_pixel * width * height:",
        "    if False:",
        ("tests/unit/model_store/test_decode_bombs.py", "tests/unit/model_store/test_decode.py"),
    ),
    Mutant(
        "a decoder's death fails its whole batch",
        "worker/decoders.py",
        "            return [self._alone(decoder, job) for job in batch]\n",
        '            return [Decoded(Failed("internal", "died"))] * len(batch)\n',
        ("tests/unit/worker/test_decoders.py",),
    ),
    Mutant(
        "a batch that does not fit is not halved",
        "model_store/predictor.py",
        "            if len(pixels) == 1 or not _out_of_memory(error):",
        "            if True:",
        ("tests/unit/model_store/test_predictor_devices.py",),
    ),
)
