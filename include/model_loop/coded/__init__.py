"""Models that are code of their own: read, admitted, registered, and asked through the runner."""
