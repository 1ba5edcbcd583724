"""The one home of kubernetes_asyncio: observe and apply, on a real cluster and on an in-memory sandbox."""
