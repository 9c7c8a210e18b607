"""`smacv2.env.starcraft2`."""
