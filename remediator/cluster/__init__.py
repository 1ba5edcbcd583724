"""The cluster: the only package with kubernetes_asyncio, and the in-memory sandbox."""
