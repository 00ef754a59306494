"""For people: the `shoal` command and the embedded stack."""
