"""qrank for coding agents: four tools over MCP (`qrank mcp`)."""
