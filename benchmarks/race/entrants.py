"""Who races: Shoal in both lanes, and each contender with the environment that it needs."""

from benchmarks.race.environment import environment, ours
from benchmarks.race.racer import ByHand, Racer
from benchmarks.race.shoal import Shoal

CELERY = ("celery", "-A", "benchmarks.contenders.celery_app", "worker", "--loglevel", "WARNING")
BATCHES = ("celery", "-A", "benchmarks.contenders.celery_batches_app", "worker", "--loglevel", "WARNING")
PREFORK = ("--concurrency", "2")
THREADS = ("--concurrency", "16", "--pool", "threads")
DRAMATIQ = ("dramatiq", "benchmarks.contenders.dramatiq_app", "--processes", "2", "--threads", "8")
TASKIQ = ("taskiq", "worker", "benchmarks.contenders.taskiq_app:broker", "--workers", "2")
LITSERVE = ("benchmarks.contenders.litserve_app",)
# name, module, command, packages beside Shoal's own
CONTENDERS = (
    ("celery prefork", "celery_app", (*CELERY, *PREFORK), ()),
    ("celery threads", "celery_app", (*CELERY, *THREADS), ()),
    (
        "celery-batches",
        "celery_batches_app",
        (*BATCHES, *PREFORK),
        ("celery-batches==0.11", "celery[redis]<5.7"),
    ),
    ("dramatiq", "dramatiq_app", DRAMATIQ, ("dramatiq[redis]>=2.2,<3",)),
    ("taskiq", "taskiq_app", TASKIQ, ("taskiq>=0.13,<0.14", "taskiq-redis>=1.2,<2")),
    ("litserve", "litserve_app", LITSERVE, ("litserve>=0.2.19,<0.3",)),
)
ALSO_ON_DEVICE = ("celery prefork", "celery-batches")


def entrants(device_rate: float, only: tuple[str, ...]) -> list[Racer]:
    """Give those whose names begin with one of `only`, or all."""
    racers: list[Racer] = [
        Shoal("shoal bulk", bulk=True, device_rate=None),
        Shoal("shoal single", bulk=False, device_rate=None),
        Shoal("shoal bulk device", bulk=True, device_rate=device_rate),
        Shoal("shoal single device", bulk=False, device_rate=device_rate),
    ]
    for name, module, command, needs in CONTENDERS:
        if only and not name.startswith(only):
            continue
        programs = environment(name, needs) if needs else ours()
        racers.append(ByHand(name, module, command, programs, None))
        if name in ALSO_ON_DEVICE:
            racers.append(ByHand(f"{name} device", module, command, programs, device_rate))
    return [racer for racer in racers if not only or racer.name.startswith(only)]
