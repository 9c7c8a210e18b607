"""SMACv2: StarCraft battles whose teams and start positions are drawn anew for each episode."""
