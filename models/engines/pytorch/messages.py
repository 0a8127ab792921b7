"""Error messages of libraries, cut to one line for a log or an error of ours."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; its type's name where it says nothing.

    >>> first_line(RuntimeError("out of memory\\n  at ..."))
    'out of memory'
    """
    return str(error).splitlines()[0] if str(error) else type(error).__name__
