from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from training.drift import Alarm, DriftSettings, Reading, Reference, Window, read, step

START = datetime(2026, 11, 1, tzinfo=UTC)
SETTINGS = DriftSettings()
K, P = 10, 16


class World:
    """Draws pictures as a model sees them: projections, clusters, unknown, residuals, of one seed."""

    def __init__(self, seed: int, k: int = K) -> None:
        self.rng = np.random.default_rng(seed)
        self.k = k
        self.shares = self.rng.dirichlet(np.full(k, 3.0))
        self.centroids = self.rng.normal(size=(k, P))

    def draw(
        self,
        n: int,
        shares: np.ndarray | None = None,
        *,
        residual: float = 0.2,
        unknown: float = 0.01,
        moved: float = 0.0,
    ) -> Window:
        p = self.shares if shares is None else shares
        clusters = self.rng.choice(self.k, n, p=p)
        around = self.rng.standard_t(5, size=(n, P)) + moved * np.eye(P)[0]
        return Window(
            (self.centroids[clusters] + around).astype(np.float32),
            clusters.astype(np.int64),
            self.rng.random(n) < unknown,
            (residual * self.rng.gamma(4.0, 0.25, n)).astype(np.float32),
        )

    def reference(self, n_images: int, n_unseen: int) -> Reference:
        seen, unseen = self.draw(n_images), self.draw(n_unseen)
        shares = np.bincount(seen.clusters, minlength=self.k) / n_images
        return Reference(shares, n_images, seen.projections[:1000], unseen.residuals, unseen.unknown)


def mixed(a: Window, b: Window) -> Window:
    return Window(
        np.concatenate([a.projections, b.projections]),
        np.concatenate([a.clusters, b.clusters]),
        np.concatenate([a.unknown, b.unknown]),
        np.concatenate([a.residuals, b.residuals]),
    )


def alarms(reference: Reference, windows: list[Window]) -> list[Alarm]:
    alarm, found = None, []
    for hour, window in enumerate(windows):
        reading = read("v1", reference, window, SETTINGS)
        alarm = step(alarm, reading, START + timedelta(hours=hour), SETTINGS)
        found.append(alarm)
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("n_images", "n_unseen", "k", "n"), [(5000, 500, 10, 1000), (200, 20, 3, 50), (3000, 300, 200, 500)]
)
def test_fifty_windows_of_the_same_kind_raise_no_alarm(
    seed: int, n_images: int, n_unseen: int, k: int, n: int
) -> None:
    world = World(seed, k)
    reference = world.reference(n_images, n_unseen)

    found = alarms(reference, [world.draw(n) for _ in range(50)])

    assert [alarm.reason for alarm in found] == [""] * 50


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["far away", "badly drawn", "into one cluster", "within clusters"])
def test_half_the_pictures_of_another_kind_raise_it_within_two_windows(seed: int, kind: str) -> None:
    world = World(seed)
    reference = world.reference(5000, 500)
    one = np.eye(K)[int(world.shares.argmin())]
    others: dict[str, Callable[[], Window]] = {
        "far away": lambda: world.draw(500, unknown=0.6),
        "badly drawn": lambda: world.draw(500, residual=0.35),
        "into one cluster": lambda: world.draw(500, one),
        "within clusters": lambda: world.draw(500, moved=2.5),
    }
    other = others[kind]

    found = alarms(reference, [world.draw(1000), *(mixed(world.draw(500), other()) for _ in range(2))])

    assert found[0].since is None
    assert found[2].since is not None
    assert found[2].reason


def test_the_alarm_stands_until_all_figures_are_calm_again() -> None:
    def reading(level: float) -> Reading:
        figure = {"name": "stability", "value": level * 0.2, "usual": 0.0, "limit": 0.2}
        return Reading.model_validate({"version": "v1", "n_images": 1000, "figures": [figure]})

    alarm, since = None, []
    for hour, level in enumerate([0.4, 1.1, 0.9, 1.2, 0.6, 0.4, 0.9]):
        alarm = step(alarm, reading(level), START + timedelta(hours=hour), SETTINGS)
        since.append(alarm.since)

    rose = START + timedelta(hours=1)
    assert since == [None, rose, rose, rose, rose, None, None]


def test_a_new_champion_starts_without_an_alarm() -> None:
    world = World(0)
    shifted = world.draw(1000, np.eye(K)[0])
    reference = world.reference(5000, 500)
    before = alarms(reference, [shifted])[0]
    assert before.since is not None

    after = step(before, read("v2", reference, world.draw(1000), SETTINGS), START, SETTINGS)

    assert (after.since, after.reason) == (None, "")


def test_a_bundle_of_an_earlier_version_has_neither_residuals_nor_unknown() -> None:
    world = World(0)
    none = np.zeros(0, np.float32)
    reference = Reference(world.shares, 5000, world.draw(1000).projections, none, none > 0)

    reading = read("v1", reference, world.draw(1000), SETTINGS)

    assert [figure.name for figure in reading.figures] == ["stability", "shift"]


def test_rows_of_an_earlier_worker_have_no_residual() -> None:
    world = World(0)
    window = world.draw(1000)
    window.residuals[:] = np.nan

    reading = read("v1", world.reference(5000, 500), window, SETTINGS)

    assert [figure.name for figure in reading.figures] == ["stability", "shift", "unknown"]
