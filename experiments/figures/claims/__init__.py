"""The claims of both papers, each with the committed numbers that confirm it, refute it or leave it open."""
