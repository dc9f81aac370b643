"""Inference with llama.cpp. The one place that knows it; knows neither files of text nor SQL."""
