"""The index file. The one place that knows SQL; knows neither files' formats nor models."""

from qrank.store.store import Store

__all__ = ["Store"]
