"""Usage metering and billing for real-time audio and video: from a media server's events to an Excel invoice."""

__version__ = "0.1.0"
