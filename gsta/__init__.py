"""The front door: the command line, the customer's spec and the pipeline of all stages."""

from gsta.version import __version__

__all__ = ["__version__"]
