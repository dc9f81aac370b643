"""Inference with llama.cpp, which only this package imports. It reads no documents, and no SQL."""
