"""Measuring search quality: datasets with judgements -> runs of configurations -> measures."""
