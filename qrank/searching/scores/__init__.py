"""Calibration of scores: how they become probabilities."""
