"""A search service over documents that the user brings: an index built once, and served with a small HTTP API.

The API is that of ToolOrchestra's retrieval services, so that its clients and ours may stand on either side.
"""
