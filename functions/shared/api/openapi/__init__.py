"""The OpenAPI 3.1 document of the HTTP API, made from what the functions really check and answer.

Both functions serve the whole of it, so it stands where both can reach it, and a contract test
holds it against their routes.
"""

from functions.shared.api.openapi.document import add_document, document

__all__ = ["add_document", "document"]
