from mcp.shared.uri_template import UriTemplate as UriTemplate
