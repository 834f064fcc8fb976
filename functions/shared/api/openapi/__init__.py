"""The OpenAPI 3.1 document of the HTTP API, generated from what the functions check and return.

Both functions serve the whole document, and a contract test compares it with their routes.
"""

from functions.shared.api.openapi.document import add_document, document

__all__ = ["add_document", "document"]
