"""Telling: notifications, gauges, storms and breakers."""
