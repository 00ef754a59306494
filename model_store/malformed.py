"""The one complaint of the header readers; it never leaves `decode`."""


class Malformed(ValueError):
    """A file breaks the rules of its format; the message completes "This is a damaged JPEG file: ..."."""
