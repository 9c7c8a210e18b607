"""Multi-agent particle environments: physics, predator-prey, its renderer and scripted policies."""
