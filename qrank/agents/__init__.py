"""qrank for coding agents: four tools, spoken to by MCP."""
