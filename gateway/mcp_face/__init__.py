"""What agents talk to: `/mcp` and `/mcp/{server}`, in both protocol eras."""
