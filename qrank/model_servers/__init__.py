"""Embedding and reranking by model servers over HTTP: the counterpart of `qrank.llama`."""
