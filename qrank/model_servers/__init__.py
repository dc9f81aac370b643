"""The one place that knows servers of models: the same two jobs as `llama`, over HTTP."""
