"""The report: facts gathered once, cut down for the public edition, and rendered. Only `facts` makes a number; pages look numbers up."""
