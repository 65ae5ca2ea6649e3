"""The asyncio face: an event loop whose connections run over our stack."""
