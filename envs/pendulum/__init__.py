"""Multi-pendulum: the environment and its renderer."""
