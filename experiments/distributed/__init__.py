"""Several devices and several processes: layout, sharding, collectives."""
