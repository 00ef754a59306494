"""Where `shoal` begins: Ctrl-C ends it as quietly while it still loads, for a second or more, as later."""

import signal
import sys


def main() -> None:
    """Run the command line; exit status 130 after Ctrl-C."""
    try:
        from console.command_line import run  # noqa: PLC0415 - what takes so long

        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
