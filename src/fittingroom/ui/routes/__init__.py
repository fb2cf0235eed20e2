"""The pages' addresses, one file a part of the navigation; each adds its own to the application."""
