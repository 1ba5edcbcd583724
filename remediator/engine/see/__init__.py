"""What there is to see: the target and what is beside it, what
alerts and queries say, what guards look at.
"""
