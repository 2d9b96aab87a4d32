"""What every pool holds or asks of the cluster, and the one placement of them all. PURE."""
