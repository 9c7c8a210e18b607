"""IQL, VDN, QMIX, QMIXs and QTRAN."""
