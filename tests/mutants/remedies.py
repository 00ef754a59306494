"""Each remedy taken out by itself, and the tests of which one must notice."""

from tests.mutants import delivery, models, pictures, retraining, servers

REMEDIES = (*delivery.REMEDIES, *pictures.REMEDIES, *servers.REMEDIES, *models.REMEDIES, *retraining.REMEDIES)
