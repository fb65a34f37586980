"""The words: ``<language>/<kind>.<part>.j2``, one block per status; shared phrases once per language."""
