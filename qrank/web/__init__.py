"""qrank over HTTP (extra `qrank[http]`): JSON for programs, MCP for agents, a page for people."""
