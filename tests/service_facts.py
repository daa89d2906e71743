"""A policy with a service whose minutes are rounded once a month."""

HOUSE = """
[[policy]]
id = "house"
name = "House"
[[policy.version]]
valid_from = 2026-01-01
[[policy.version.meter]]
items = [{ name = "audio" }, { name = "hd" }]
[policy.version.price.USD]
audio = "1"
hd = "2"
[[policy.version.service]]
name = "recording"
items = [{ name = "audio" }, { name = "hd" }]
period = "month"
price.USD = { audio = "1.49", hd = "5.99" }
"""
