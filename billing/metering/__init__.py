"""Metering: events become stays, stays classified seconds, seconds 5-minute windows. Columnar, and pure: no clock, no
files."""
