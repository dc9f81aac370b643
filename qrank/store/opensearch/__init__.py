"""An index that OpenSearch or Elasticsearch holds. docs/engines.md has what it asks of them."""
