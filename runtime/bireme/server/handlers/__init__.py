"""The handlers: one module a resource, each with its part of the table of routes."""
