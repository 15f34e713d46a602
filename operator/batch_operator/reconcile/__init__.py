"""(object, snapshot, now) -> Plan. Pure and total: the same observation gives the same plan."""
