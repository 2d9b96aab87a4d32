"""The operator: watches both kinds and brings the cluster to what they say."""
