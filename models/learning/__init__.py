"""How networks are trained, whatever they learn; what the generators of several kinds have in common."""
