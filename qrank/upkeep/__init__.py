"""Looking after models and this machine: what there is, how fast, how well."""
