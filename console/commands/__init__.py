"""The subcommands of `shoal`, a file each."""
