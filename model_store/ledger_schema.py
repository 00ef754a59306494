"""The columns of the ledger. One may be added; none changes its meaning."""

from typing import Final

import pyarrow as pa

SCHEMA: Final = pa.schema(
    [
        ("message_id", pa.string()),
        ("image_id", pa.string()),
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("version_id", pa.string()),
        ("etag", pa.string()),
        ("sha256", pa.string()),
        ("allow_training", pa.bool_()),
        ("status", pa.string()),
        ("cluster_id", pa.string()),
        ("distance", pa.float32()),
        ("projection", pa.list_(pa.float32())),
        ("residual", pa.float32()),  # squared length of what the PCA leaves of the unit embedding
        ("model_version", pa.string()),
        ("generation", pa.int64()),
        ("classified_at", pa.timestamp("ms", tz="UTC")),
    ]
)
