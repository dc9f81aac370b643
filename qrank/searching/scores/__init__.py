"""Calibration of scores."""
