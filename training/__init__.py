"""Fits models, judges them, and promotes the better one."""
