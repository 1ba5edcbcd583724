"""The one home of kubernetes_asyncio.

Observe and apply, on a real cluster and on an in-memory sandbox.
"""
