"""Thin agents: the agentic loop on the Messages API, tools from one MCP address."""
