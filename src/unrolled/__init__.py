"""The tested implementations behind the course *Unrolled*."""

__version__ = "0.1.0"
