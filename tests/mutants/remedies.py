"""Each remedy taken out by itself, and the tests of which one must notice."""

from tests.mutants import delivery, models, pictures, servers

REMEDIES = (*delivery.REMEDIES, *pictures.REMEDIES, *servers.REMEDIES, *models.REMEDIES)
