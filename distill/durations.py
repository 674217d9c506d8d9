"""Seconds as people say them."""


def in_words(seconds: float) -> str:
    """Write a duration in seconds, minutes, hours or days.

    Examples
    --------
    >>> [in_words(s) for s in (12.3, 150, 9000, 400_000)]
    ['12 s', '2.5 min', '2.5 h', '4.6 days']
    """
    for limit, unit, name in ((100, 1, "s"), (6000, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} s" if unit == 1 else f"{seconds / unit:.1f} {name}"
    return f"{seconds / 86_400:.1f} days"
