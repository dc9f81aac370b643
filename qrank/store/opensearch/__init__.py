"""The store in OpenSearch or Elasticsearch. docs/engines.md says what it needs from them."""
