"""What a report is of: a model, its pictures, and where it puts them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from model_store.autoencoder import Decoder, Encoder
from model_store.bundle import Bundle
from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.clusterer import Assignment, Clusterer
from model_store.manifest import Manifest
from training import room
from training.corpus import Corpus
from training.course import COURSE, Course
from training.labels import Labels
from training.trained import Trained

BATCH: Final = 256

NameOf = Callable[[str], str | None]
"""Cluster id -> what people call it, if anything."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and N pictures. `held_out` are rows that it was not fitted on; empty where nobody knows."""

    manifest: Manifest
    clusters: ClusterFile
    clusterer: Clusterer
    encoder: Encoder
    decoder: Decoder
    course: Course
    corpus: Corpus
    assignment: Assignment  # (N,)
    strangeness: NDArray[np.float32]  # (N,); above 1 is unknown
    held_out: NDArray[np.intp]
    labels: Labels
    name_of: NameOf
    device: str

    @classmethod
    def of(
        cls,
        trained: Trained,
        corpus: Corpus,
        labels: Labels,
        device: str,
        name_of: NameOf = lambda _: None,
    ) -> Self:
        """Take what a run leaves."""
        return cls(
            manifest=trained.manifest,
            clusters=ClusterFile.from_bytes(trained.files[CLUSTERS]),
            clusterer=trained.clusterer,
            encoder=trained.fitted.encoder,
            decoder=trained.fitted.decoder,
            course=Course.from_bytes(trained.files[COURSE]) if COURSE in trained.files else Course(),
            corpus=corpus,
            assignment=trained.assignment,
            strangeness=trained.strangeness,
            held_out=trained.held_out,
            labels=labels,
            name_of=name_of,
            device=device,
        )

    @classmethod
    def of_bundle(
        cls,
        bundle: Bundle,
        decoder: Decoder,
        clusters: ClusterFile,
        course: Course,
        corpus: Corpus,
        labels: Labels,
        device: str,
        name_of: NameOf = lambda _: None,
    ) -> Self:
        """Show pictures, decoded as it wants them, to a model that was trained earlier, maybe on others."""
        indices, distances = np.empty(len(corpus), np.int64), np.empty(len(corpus), np.float32)
        strangeness = np.empty(len(corpus), np.float32)
        for start, pixels in room.parts(corpus.pixels, BATCH):
            answer, part = bundle.predict(pixels), slice(start, start + len(pixels))
            indices[part], distances[part] = answer.nearest[:, 0], answer.distances[:, 0]
            own = Assignment(indices[part], distances[part])
            strangeness[part] = bundle.clusterer.strangeness(own, answer.residuals)
        return cls(
            manifest=bundle.manifest,
            clusters=clusters,
            clusterer=bundle.clusterer,
            encoder=bundle.predictor.encoder,
            decoder=decoder,
            course=course,
            corpus=corpus,
            assignment=Assignment(indices, distances),
            strangeness=strangeness,
            held_out=np.empty(0, np.intp),
            labels=labels,
            name_of=name_of,
            device=device,
        )
