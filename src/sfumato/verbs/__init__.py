"""What a person does, one verb a file: the same functions for Python and for the command line, which only shows.

Each has typed keywords, says what it does to whoever listens (`sfumato.progress`), and returns a frozen result.
"""
