"""outagecast: tell everybody, at once and truthfully, when a service is down."""

__version__ = "0.1.0"
