"""Ready means useful: what a server is asked, how its answers are judged, and when it is asked again. PURE."""
