"""YAML to rules: what a rule says, which rule an alert matches, and
the plan that its first fitting step makes.
"""
