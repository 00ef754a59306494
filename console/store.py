"""The object store and what lies in it, from the settings of this shell."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from model_store.cluster_history import ClusterHistory
from model_store.cluster_names import ClusterNames
from model_store.process_settings import ProcessSettings, load_settings
from model_store.registry import Registry
from model_store.results import Results
from model_store.s3 import S3Store
from model_store.signature import Signer, TrustedKeys


@dataclass(frozen=True, slots=True)
class Connection:
    """What a command works with."""

    settings: ProcessSettings
    store: S3Store

    def registry(self, collection: str, signer: Signer | None = None) -> Registry:
        """Give the models of a collection; `signer` signs what is published."""
        trusted = TrustedKeys(self.settings.store.trusted_keys)
        return Registry(self.store, collection, trusted=trusted, signer=signer)

    def cluster_names(self, collection: str) -> ClusterNames:
        """Give what people said of a collection's clusters."""
        return ClusterNames(self.store, collection)

    def cluster_history(self, collection: str) -> ClusterHistory:
        """Give the clusters of all versions of a collection."""
        return ClusterHistory(self.store, collection)

    def results(self, collection: str) -> Results:
        """Give the results of a collection."""
        return Results(self.store, collection)


@contextlib.contextmanager
def connection(settings: ProcessSettings | None = None) -> Iterator[Connection]:
    """Open the store that the settings name.

    Raises:
        ConfigurationError: a setting is wrong.
        NotReady: there are no credentials.
    """
    known = settings or load_settings(ProcessSettings)
    store = S3Store(known.store.bucket, known.store)
    try:
        yield Connection(known, store)
    finally:
        store.close()
