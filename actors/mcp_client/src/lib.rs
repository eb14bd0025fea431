//! Tools of other programs: one supervised child for each MCP server.
