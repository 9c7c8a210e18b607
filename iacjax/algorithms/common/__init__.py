"""What several algorithms share, a module for each concept."""
